//! A password: from a file, from the environment, or asked for without showing it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// More is no password but a mistake.
const BYTES_MAX: usize = 1024;

/// The first line of a file; `-` is standard input.
pub(crate) fn from_file(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let limit = BYTES_MAX as u64 + 2;
    let read = if path == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| format!("{}: {error}", path.display()))?;
    line(bytes).map_err(|wrong| format!("{}: {wrong}", path.display()))
}

fn line(bytes: Vec<u8>) -> Result<String, &'static str> {
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8")?;
    let line = text.lines().next().unwrap_or_default();
    match line.len() {
        0 => Err("no password in its first line"),
        1..=BYTES_MAX => Ok(line.to_owned()),
        _ => Err("a password of more than 1024 bytes"),
    }
}

/// Asked for at the terminal, twice where it is a new one.
pub(crate) fn asked(what: &str, twice: bool) -> Result<String, String> {
    const NO_TERMINAL: &str =
        "no terminal to ask for the password; name a file: --password-file FILE";
    if !io::stderr().is_terminal() {
        return Err(NO_TERMINAL.to_owned());
    }
    let terminal = File::options().read(true).write(true).open("/dev/tty");
    let mut terminal = terminal.map_err(|_| NO_TERMINAL.to_owned())?;
    let first = ask(&mut terminal, what)?;
    if twice && ask(&mut terminal, &format!("{what}, again"))? != first {
        return Err("the two are not the same".to_owned());
    }
    Ok(first)
}

/// Puts the terminal back as it was, whatever happens.
struct Quiet<'t>(&'t File, Termios);

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.0, OptionalActions::Flush, &self.1);
    }
}

fn ask(terminal: &mut File, what: &str) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the terminal: {error}");
    write!(terminal, "{what}: ").map_err(|error| failed(&error))?;
    let was = tcgetattr(&*terminal).map_err(|error| failed(&error))?;
    let mut quiet = was.clone();
    // An interrupt is a letter here, so that nothing ends while nothing is shown.
    quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    tcsetattr(&*terminal, OptionalActions::Flush, &quiet).map_err(|error| failed(&error))?;
    let typed = {
        let _quiet = Quiet(terminal, was);
        typed(&mut &*terminal)
    };
    let _ = writeln!(terminal);
    line(typed?).map_err(str::to_owned)
}

/// Letters up to the end of the line; the last one or all of them may be taken back.
fn typed(terminal: &mut impl io::Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    loop {
        let read = terminal
            .read(&mut byte)
            .map_err(|error| error.to_string())?;
        match byte[0] {
            b'\r' | b'\n' => return Ok(bytes),
            _ if read == 0 => return Ok(bytes),
            // Ctrl-C, Ctrl-D.
            3 | 4 => return Err("no password was given".to_owned()),
            8 | 127 => {
                // A letter may be several bytes.
                while bytes.pop().is_some_and(|byte: u8| byte & 0xC0 == 0x80) {}
            }
            // Ctrl-U.
            21 => bytes.clear(),
            letter if bytes.len() <= BYTES_MAX => bytes.push(letter),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_typed_with_second_thoughts() {
        let type_it = |keys: &str| typed(&mut keys.as_bytes());
        assert_eq!(type_it("secret\rmore"), Ok(b"secret".to_vec()));
        assert_eq!(type_it("seé\u{7f}x\u{8}cret\n"), Ok(b"secret".to_vec()));
        assert_eq!(type_it("wrong\u{15}secret\n"), Ok(b"secret".to_vec()));
        assert!(type_it("sec\u{3}").is_err());
        assert_eq!(line(Vec::new()), Err("no password in its first line"));
        assert_eq!(
            line(b"\nsecret".to_vec()),
            Err("no password in its first line")
        );
        assert_eq!(line(b"secret\r\nmore".to_vec()), Ok("secret".to_owned()));
        assert!(line(vec![b'x'; 1025]).is_err() && line(vec![0xff]).is_err());
    }
}
