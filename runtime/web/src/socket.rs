//! `admin.sock`: whoever may open the data folder may ask.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use tokio::sync::Semaphore;

use crate::server::{CONNECTIONS_MAX, connection, tired};

/// Its name in the data folder.
pub const SOCKET_NAME: &str = "admin.sock";

/// The path of a socket is at most this long, by the system's structure for it.
const PATH_BYTES_MAX: usize = 107;

/// The socket, open; its file goes with it.
#[derive(Debug)]
pub struct AdminSocket {
    listener: Option<UnixListener>,
    path: PathBuf,
    inode: u64,
}

impl AdminSocket {
    /// Opens it in `folder`, in place of one that an earlier life left behind. The caller has the folder for itself (the
    /// store's lock sees to it).
    ///
    /// # Errors
    /// What the system says.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(SOCKET_NAME);
        // Made under another name, closed to others, then moved: at no time may others connect, or nobody.
        let fresh = folder.join("admin.sock.new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = through_short_path(&fresh, |path| UnixListener::bind(path))?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        fs::rename(&fresh, &path)?;
        let inode = fs::symlink_metadata(&path)?.ino();
        Ok(Self {
            listener: Some(listener),
            path,
            inode,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What [`AdminSocket::serve`] takes, once.
    pub fn take(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }

    /// Serves `routes` until the task is dropped. Runs on tokio.
    ///
    /// # Errors
    /// When tokio can't take the socket.
    pub async fn serve(listener: UnixListener, routes: Router) -> io::Result<()> {
        let socket = tokio::net::UnixListener::from_std(listener)?;
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let owner = rustix::process::geteuid().as_raw();
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return Ok(());
            };
            match socket.accept().await {
                // The mode of the file keeps others out; this holds where a file system ignores modes.
                Ok((stream, _))
                    if stream
                        .peer_cred()
                        .is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0) =>
                {
                    let routes = routes.clone();
                    tokio::spawn(async move {
                        connection(stream, routes).await;
                        drop(place);
                    });
                }
                Ok(_) => tracing::warn!("admin.sock: another user's connection refused"),
                Err(error) => tired(&error).await,
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // Only our own: a successor may have put its one there already.
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Does `deed` with a path that fits the system's structure: a long one goes by way of the open folder.
pub(crate) fn through_short_path<T>(
    path: &Path,
    deed: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<T> {
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return deed(path);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return deed(path);
    };
    let folder = File::open(folder)?;
    deed(
        &Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(name),
    )
}
