//! What shall be measured.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::wire::{Carrier, GATHERING_WINDOW_MIN};

/// One operation of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// First PUBLISH of a user.
    PublishInitial,
    /// PUBLISH without a body.
    PublishRefresh,
    /// PUBLISH with a new state that nobody watches.
    PublishModify,
    /// Initial SUBSCRIBE and its NOTIFY.
    Subscribe,
    /// SUBSCRIBE in the dialog and its NOTIFY.
    SubscribeRefresh,
    /// SUBSCRIBE with Expires 0 and its NOTIFY.
    Fetch,
    /// PUBLISH with a new state and a NOTIFY to each watcher.
    FanOut,
    /// PUT of rules that show every watcher something else, and a NOTIFY to each.
    Rules,
    /// Subscriptions over a stop and start of the server.
    Restore,
}

impl Operation {
    /// In the order in which they run.
    pub const ALL: [Self; 9] = [
        Self::PublishInitial,
        Self::PublishRefresh,
        Self::PublishModify,
        Self::Subscribe,
        Self::SubscribeRefresh,
        Self::Fetch,
        Self::FanOut,
        Self::Rules,
        Self::Restore,
    ];

    /// How commands and reports call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PublishInitial => "publish-initial",
            Self::PublishRefresh => "publish-refresh",
            Self::PublishModify => "publish-modify",
            Self::Subscribe => "subscribe",
            Self::SubscribeRefresh => "subscribe-refresh",
            Self::Fetch => "fetch",
            Self::FanOut => "fan-out",
            Self::Rules => "rules",
            Self::Restore => "restore",
        }
    }

    /// Whether what is counted is a NOTIFY and the 200 to it.
    pub const fn counts_notifies(self) -> bool {
        matches!(self, Self::FanOut | Self::Rules)
    }

    /// Whether its NOTIFYs are what is counted in pairs.
    pub const fn is_notifying(self) -> bool {
        matches!(
            self,
            Self::Subscribe | Self::SubscribeRefresh | Self::Fetch | Self::FanOut | Self::Rules
        )
    }
}

/// Presentities and the watchers of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FanOut {
    /// How many users publish.
    pub presentities: u32,
    /// How many watch each.
    pub watchers: u32,
}

impl std::fmt::Display for FanOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.presentities, self.watchers)
    }
}

impl FromStr for FanOut {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (presentities, watchers) = text
            .split_once('x')
            .ok_or("write it like 100x100: presentities x watchers of each")?;
        let number = |text: &str| match text.parse::<u32>() {
            Ok(number @ 1..=1_000_000) => Ok(number),
            _ => Err(format!("{text}: no number from 1 to 1000000")),
        };
        let shape = Self {
            presentities: number(presentities)?,
            watchers: number(watchers)?,
        };
        if u64::from(shape.presentities) * u64::from(shape.watchers) > 4_000_000 {
            return Err("more than 4000000 subscriptions".to_owned());
        }
        Ok(shape)
    }
}

/// What a server that we start waits for before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The operating system has it.
    Os,
    /// The disk has it.
    Fsync,
}

impl Commit {
    /// As the configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Os => "os",
            Self::Fsync => "fsync",
        }
    }
}

/// Which server.
#[derive(Clone, Debug)]
pub enum Target {
    /// `tidings serve`, started by us on loopback in a new folder and stopped at the end.
    Own {
        /// The program `tidings`.
        program: PathBuf,
        /// Where its folder is made.
        folder: PathBuf,
        /// What it waits for before it answers.
        commit: Commit,
        /// Its shards.
        threads: u16,
    },
    /// One that runs.
    Running {
        /// Where it listens.
        address: SocketAddr,
        /// Its processes, if they run here; their children count too.
        processes: Vec<u32>,
        /// Where its users' documents are, if rules are to be put.
        documents: Option<Documents>,
    },
}

/// Where documents of users are: by HTTP, and the path of the XCAP root without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// Where HTTP is spoken.
    pub address: SocketAddr,
    /// `/xcap-root`.
    pub root: String,
}

/// In which loops each operation runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loops {
    /// Always so many under way: as fast as the server can.
    Closed,
    /// So many a second, whatever the server does.
    Open {
        /// Operations a second.
        per_second: f64,
    },
    /// Closed, then open at a part of the rate that was reached.
    Both {
        /// That part, above 0 and at most 1.
        part: f64,
    },
}

/// What shall be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which server.
    pub target: Target,
    /// By what its messages go.
    pub carrier: Carrier,
    /// Whose users.
    pub domain: String,
    /// What runs.
    pub operations: Vec<Operation>,
    /// The shapes of fan-out.
    pub fan_outs: Vec<FanOut>,
    /// The shapes of rules.
    pub rules: Vec<FanOut>,
    /// In which loops.
    pub loops: Loops,
    /// Transactions under way in a closed loop; a fan-out has as many NOTIFYs.
    pub window: u32,
    /// Our sockets or connections.
    pub sockets: u16,
    /// Measured time of an operation in a closed loop; the open one takes half of it.
    pub duration: Duration,
    /// Time before that, in which nothing is counted.
    pub warm_up: Duration,
    /// After so long without what is owed it is missing.
    pub patience: Duration,
    /// Length of a published document.
    pub body_bytes: usize,
    /// Presentities of the operations without a shape.
    pub presentities: u32,
    /// Most users and subscriptions that one operation makes.
    pub objects_max: u32,
    /// Subscriptions that are restored.
    pub restored: u32,
    /// Length of the echo's datagrams; 0: no echo.
    pub echo_bytes: usize,
}

impl Plan {
    /// Whether so much is under way in a closed loop that we need not look at each message as it comes.
    pub(crate) const fn gathers(&self) -> bool {
        self.window >= GATHERING_WINDOW_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_and_bounded() {
        let shape: FanOut = "100x10".parse().unwrap();
        assert_eq!((shape.presentities, shape.watchers), (100, 10));
        assert_eq!(shape.to_string(), "100x10");
        for wrong in [
            "",
            "100",
            "0x1",
            "1x0",
            "x",
            "1x1x1",
            "1000000x1000000",
            "-1x4",
        ] {
            assert!(wrong.parse::<FanOut>().is_err(), "{wrong}");
        }
    }
}
