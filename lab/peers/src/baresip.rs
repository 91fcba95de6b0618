//! baresip, a softphone with presence: no audio, no terminal, told what to do over its control port.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use deployment::{Deadline, Over, PATIENCE, Server};
use tempfile::TempDir;

use crate::port::free_pair;
use crate::program::Program;

/// Where Debian puts its modules; another place is found by its default.
const MODULES: &str = "/usr/lib/baresip/modules";
/// How long to listen before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// One baresip with one account.
pub struct Baresip {
    program: Program,
    control: TcpStream,
    /// Its settings; read when it starts.
    _folder: TempDir,
}

impl Baresip {
    /// A phone of `aor` behind `server`. It publishes where `publish_seconds` is given (again at nine tenths of it), and
    /// subscribes to each buddy a second after the start.
    #[track_caller]
    pub fn start(
        server: &Server,
        over: Over,
        aor: &str,
        publish_seconds: Option<u32>,
        buddies: &[&str],
    ) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("baresip-")
            .tempdir()
            .expect("a temporary folder");
        let (sip, control) = (free_pair(), free_pair());
        let transport = if over == Over::Tcp4 { "tcp" } else { "udp" };
        let write = |file: &str, text: String| {
            fs::write(folder.path().join(file), text).expect("writing its settings")
        };
        write("config", configuration(sip, control));
        let publish = publish_seconds
            .map(|seconds| format!(";pubint={seconds}"))
            .unwrap_or_default();
        let outbound = server.address(over);
        write(
            "accounts",
            format!(
                "<sip:{aor};transport={transport}>;regint=0{publish};outbound=\"sip:{outbound};transport={transport}\"\n"
            ),
        );
        write(
            "contacts",
            buddies
                .iter()
                .map(|buddy| format!("<sip:{buddy}>;presence=p2p\n"))
                .collect(),
        );
        let mut command = Command::new("baresip");
        command.arg("-f").arg(folder.path()).args(["-v", "-s"]);
        let mut program = Program::start(&mut command, folder.path());
        program.says("baresip is ready");
        let control = SocketAddr::from((Ipv4Addr::LOCALHOST, control));
        let control = TcpStream::connect_timeout(&control, PATIENCE).expect("its control port");
        Self {
            program,
            control,
            _folder: folder,
        }
    }

    /// Says that its user is there, or not.
    #[track_caller]
    pub fn set_online(&mut self, online: bool) {
        let answer = self.ask(if online {
            "presence_online"
        } else {
            "presence_offline"
        });
        assert!(answer.contains("\"ok\":true"), "{answer}");
    }

    /// What it shows of a buddy: `Online`, `Offline`, `Busy`, or `Unknown` before anything came.
    pub fn shows(&mut self, buddy: &str) -> String {
        // One string of JSON, `…\u001B[32mOnline\u001B[;m <sip:bob@example.com>\n…`: its lines are told apart by their escapes.
        let answer = self.ask("contacts");
        let line = answer
            .split("\\n")
            .find(|line| line.contains(&format!("<sip:{buddy}>")))
            .unwrap_or_default();
        let shown = ["Online", "Offline", "Busy", "Unknown"]
            .into_iter()
            .find(|status| line.contains(status));
        shown
            .unwrap_or_else(|| panic!("no status of {buddy} in {answer}"))
            .to_owned()
    }

    /// Waits until it shows this of a buddy.
    #[track_caller]
    pub fn comes_to_show(&mut self, buddy: &str, status: &str) {
        let deadline = Deadline::default();
        loop {
            let shown = self.shows(buddy);
            if shown == status {
                return;
            }
            assert!(
                deadline.left().is_some(),
                "{buddy} stays {shown}, not {status}:\n{}",
                self.said()
            );
            // Nothing is asked, so nothing is answered: this is a wait that a broken connection would end.
            self.control
                .set_read_timeout(Some(ASK_AGAIN))
                .expect("a timeout");
            let _ = self.control.read(&mut [0; 4096]);
        }
    }

    /// Ends it as a user would: it takes back what it published and ends its subscriptions.
    #[track_caller]
    pub fn quit(mut self) {
        self.program.terminate();
        self.program.wait();
    }

    /// Everything it said.
    pub fn said(&self) -> &str {
        self.program.said()
    }

    /// One command over the control port (JSON in netstrings); events that come before the answer are passed over.
    #[track_caller]
    fn ask(&mut self, command: &str) -> String {
        let request = format!("{{\"command\":\"{command}\",\"token\":\"ours\"}}");
        write!(self.control, "{}:{request},", request.len())
            .expect("its control port takes a command");
        self.control
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout");
        let mut answer = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            let length = self
                .control
                .read(&mut bytes)
                .expect("its control port answers");
            assert!(length > 0, "baresip ended:\n{}", self.said());
            answer.extend_from_slice(&bytes[..length]);
            let text = String::from_utf8_lossy(&answer);
            if text.contains("\"token\":\"ours\"") && text.ends_with("},") {
                return text.into_owned();
            }
        }
    }
}

/// Only what presence needs. Loopback by number, so that it does not look for an interface.
fn configuration(sip: u16, control: u16) -> String {
    let mut text = format!("sip_listen 127.0.0.1:{sip}\nctrl_tcp_listen 127.0.0.1:{control}\n");
    if Path::new(MODULES).is_dir() {
        text.push_str(&format!("module_path {MODULES}\n"));
    }
    for module in ["account", "contact", "ctrl_tcp", "menu", "presence"] {
        text.push_str(&format!("module_app {module}.so\n"));
    }
    text
}
