//! Random stories with crashes at every kind of moment: what users were promised holds at the end of each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a story that breaks says where"
)]

mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use machine::settings::Handling;
use proptest::prelude::*;
use world::{Sent, World, pidf, settings};

#[derive(Clone, Debug)]
enum Step {
    Publish {
        source: usize,
        note: u8,
        expires: u16,
    },
    Refresh {
        source: usize,
    },
    Remove {
        source: usize,
    },
    Watch {
        watcher: usize,
        expires: u16,
    },
    Resubscribe {
        watcher: usize,
    },
    Unsubscribe {
        watcher: usize,
    },
    /// Answers what is unanswered.
    Answer,
    Wait {
        millis: u32,
    },
    Crash,
    Restart,
    /// Somebody sets the wall clock, forward or back.
    Clock {
        seconds: i16,
    },
    /// The rules change for everybody, and change again.
    Reload {
        handling: Handling,
    },
}

/// When the process dies while a request is being handled; the client sends the same bytes again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Death {
    None,
    BeforeDurable,
    AfterDurable,
}

fn steps() -> impl Strategy<Value = Vec<(Step, Death)>> {
    let step = prop_oneof![
        4 => (0..3usize, any::<u8>(), 5..600u16).prop_map(|(source, note, expires)| Step::Publish { source, note, expires }),
        2 => (0..3usize).prop_map(|source| Step::Refresh { source }),
        1 => (0..3usize).prop_map(|source| Step::Remove { source }),
        3 => (0..4usize, 5..600u16).prop_map(|(watcher, expires)| Step::Watch { watcher, expires }),
        2 => (0..4usize).prop_map(|watcher| Step::Resubscribe { watcher }),
        1 => (0..4usize).prop_map(|watcher| Step::Unsubscribe { watcher }),
        4 => Just(Step::Answer),
        2 => (0..20_000u32).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        1 => (-900..900i16).prop_map(|seconds| Step::Clock { seconds }),
        1 => prop_oneof![Just(Handling::Allow), Just(Handling::PoliteBlock), Just(Handling::Confirm)]
            .prop_map(|handling| Step::Reload { handling }),
    ];
    let death = prop_oneof![6 => Just(Death::None), 1 => Just(Death::BeforeDurable), 1 => Just(Death::AfterDurable)];
    prop::collection::vec((step, death), 1..60)
}

struct Watcher {
    answer: Sent,
    cseq: u32,
    ended: bool,
    /// The newest NOTIFY that arrived.
    newest: u32,
    body: String,
    /// So many NOTIFYs may say what she knows: they answer a SUBSCRIBE, or somebody died before an answer was on record.
    excused: u32,
}

/// Half of the sources are alice's and half are alina's, half of the watchers watch each; so do half of them by TCP.
fn of(index: usize, text: &str) -> String {
    match index % 2 {
        0 => text.to_owned(),
        _ => text.replace("alice@", "alina@"),
    }
}

fn flow(port: u16) -> shard::Flow {
    match port % 4 {
        0 | 1 => World::udp(port),
        _ => World::tcp(port),
    }
}

struct Story {
    world: World,
    tags: BTreeMap<usize, (String, u64)>,
    watchers: BTreeMap<String, Watcher>,
    seen: usize,
    dialogs: u32,
    /// The last NOTIFY of each dialog that was answered in this life, for "nothing new".
    unanswered: Vec<Sent>,
    /// The clock was set forward: what lapses at a start by that clock lapses before its time.
    hurried: bool,
}

impl Story {
    fn new() -> Self {
        let mut settings = settings();
        settings.limits.unanswered_per_hop_max = 2;
        settings.limits.waiting_seconds_max = 60;
        let world = World::with(settings);
        Self {
            world,
            tags: BTreeMap::new(),
            watchers: BTreeMap::new(),
            seen: 0,
            dialogs: 0,
            unanswered: Vec::new(),
            hurried: false,
        }
    }

    fn excuse(&mut self) {
        for watcher in self.watchers.values_mut() {
            watcher.excused += 1;
        }
    }

    /// A new life begins. Where an answer was missing in the old one, everybody may be told again.
    fn begin(&mut self) {
        self.seen = 0;
        if !self.unanswered.is_empty() {
            self.excuse();
        }
        self.unanswered.clear();
        self.receive();
    }

    /// Sends a request, dies where the story says so, and sends the same bytes again until there is an answer.
    fn request(&mut self, port: u16, text: &str, death: Death) -> Sent {
        if death != Death::None {
            self.world.prompt = false;
            self.world.say(&flow(port), text);
            if death == Death::AfterDurable {
                self.world.make_durable();
            }
            self.world.prompt = true;
            self.world.crash();
            self.excuse();
            self.begin();
        }
        let before = self.world.sent.len();
        self.world.say(&flow(port), text);
        let answer = self.world.sent[before..]
            .iter()
            .find(|sent| !sent.is_notify())
            .expect("every request is answered")
            .clone();
        self.receive();
        answer
    }

    /// What arrived at the watchers.
    fn receive(&mut self) {
        for notify in self.world.sent[self.seen..]
            .iter()
            .filter(|sent| sent.is_notify())
        {
            let Some(watcher) = self.watchers.get_mut(notify.need("Call-ID")) else {
                self.unanswered.push(notify.clone());
                continue;
            };
            let cseq = notify.cseq();
            assert!(
                cseq >= watcher.newest,
                "CSeq never goes back: {cseq} after {}",
                watcher.newest
            );
            assert_eq!(
                notify.need("From").rsplit_once("tag=").unwrap().1,
                watcher.answer.to_tag(),
                "the old dialog"
            );
            if cseq > watcher.newest {
                assert!(
                    !watcher.ended,
                    "nothing after the last NOTIFY: {}",
                    notify.head
                );
                let ends = notify.need("Subscription-State").starts_with("terminated");
                if !ends && watcher.body == notify.body {
                    let excused = watcher.excused.checked_sub(1);
                    watcher.excused =
                        excused.unwrap_or_else(|| panic!("nothing new: {}", notify.head));
                }
            }
            watcher.newest = cseq;
            watcher.body = notify.body.clone();
            self.unanswered.push(notify.clone());
        }
        self.seen = self.world.sent.len();
    }

    fn answer(&mut self) {
        while !self.unanswered.is_empty() {
            for notify in std::mem::take(&mut self.unanswered) {
                self.world.ok(&notify);
                if notify.need("Subscription-State").starts_with("terminated")
                    && let Some(watcher) = self.watchers.get_mut(notify.need("Call-ID"))
                {
                    watcher.ended = true;
                }
            }
            self.receive();
        }
        // Everybody has heard what there was to hear.
        for watcher in self.watchers.values_mut() {
            watcher.excused = 0;
        }
    }

    fn publish(&mut self, source: usize, note: u8, expires: u16, death: Death) {
        let known = self
            .tags
            .get(&source)
            .map(|(tag, _)| format!("SIP-If-Match: {tag}\r\n"))
            .unwrap_or_default();
        let fields = format!("{known}Content-Type: application/pidf+xml\r\nExpires: {expires}\r\n");
        let text = self
            .world
            .publish_text(&fields, &pidf("open", &format!("note{note}")));
        let text = of(source, &text);
        let answer = self.request(6000, &text, death);
        self.published(source, &answer, expires);
    }

    fn published(&mut self, source: usize, answer: &Sent, expires: u16) {
        let now = self.world.now.monotonic.as_micros();
        match answer.status() {
            200 => {
                let end = now + u64::from(expires) * 1_000_000;
                self.tags
                    .insert(source, (answer.need("SIP-ETag").to_owned(), end));
            }
            412 => {
                let (_, end) = self.tags.remove(&source).expect("412 for a tag we had");
                assert!(
                    end <= now + 1_000_000 || self.hurried,
                    "an acknowledged entity-tag was forgotten before its time"
                );
            }
            status => panic!("{status}"),
        }
    }

    fn tagged(&mut self, source: usize, fields: &str, death: Death) -> Option<Sent> {
        let (tag, _) = self.tags.get(&source)?.clone();
        let text = self
            .world
            .publish_text(&format!("SIP-If-Match: {tag}\r\n{fields}"), "");
        let text = of(source, &text);
        Some(self.request(6000, &text, death))
    }

    fn watch(&mut self, watcher: usize, expires: u16, death: Death) {
        self.dialogs += 1;
        let name = format!("w{watcher}d{}", self.dialogs);
        let port = 7000 + watcher as u16;
        let text = self
            .world
            .subscribe_text(&name, port, &format!("Expires: {expires}\r\n"));
        let answer = self.request(port, &of(watcher, &text), death);
        assert_eq!(answer.status() / 100, 2);
        let first = self
            .unanswered
            .iter()
            .rfind(|notify| notify.need("Call-ID") == format!("sub-{name}"));
        let excused = u32::from(first.is_none());
        let (newest, body) = first
            .map(|notify| (notify.cseq(), notify.body.clone()))
            .unwrap_or_default();
        let watcher = Watcher {
            answer,
            cseq: 1,
            ended: false,
            newest,
            body,
            excused,
        };
        self.watchers.insert(format!("sub-{name}"), watcher);
    }

    fn resubscribe(&mut self, watcher: usize, expires: u16, death: Death) {
        let port = 7000 + watcher as u16;
        let found = self
            .watchers
            .iter_mut()
            .find(|(name, each)| name.starts_with(&format!("sub-w{watcher}d")) && !each.ended);
        let Some((name, each)) = found else { return };
        each.cseq += 1;
        each.excused += 1;
        let (name, answer, cseq) = (name.clone(), each.answer.clone(), each.cseq);
        let fields = format!("Expires: {expires}\r\n");
        let text = self.world.resubscribe_text(
            name.trim_start_matches("sub-"),
            port,
            &answer,
            cseq,
            &fields,
        );
        let answer = self.request(port, &of(watcher, &text), death);
        assert!(
            matches!(answer.status(), 200 | 202 | 481),
            "{}",
            answer.head
        );
        if answer.status() == 481 {
            self.watchers.remove(&name);
        }
    }

    fn step(&mut self, step: Step, death: Death) {
        match step {
            Step::Publish {
                source,
                note,
                expires,
            } => self.publish(source, note, expires, death),
            Step::Refresh { source } => {
                if let Some(answer) = self.tagged(source, "Expires: 300\r\n", death) {
                    self.published(source, &answer, 300);
                }
            }
            Step::Remove { source } => {
                if let Some(answer) = self.tagged(source, "Expires: 0\r\n", death) {
                    assert!(matches!(answer.status(), 200 | 412));
                    self.tags.remove(&source);
                }
            }
            Step::Watch { watcher, expires } => self.watch(watcher, expires, death),
            Step::Resubscribe { watcher } => self.resubscribe(watcher, 300, death),
            Step::Unsubscribe { watcher } => self.resubscribe(watcher, 0, death),
            Step::Answer => self.answer(),
            Step::Wait { millis } => {
                self.world.advance(Duration::from_millis(u64::from(millis)));
                self.receive();
            }
            Step::Crash => {
                self.world.crash();
                self.begin();
            }
            Step::Restart => {
                self.world.stop_and_start();
                self.begin();
            }
            Step::Clock { seconds } => {
                self.world.set_clock(i64::from(seconds) * 1000);
                self.hurried |= seconds > 0;
            }
            Step::Reload { handling } => {
                self.excuse();
                self.world
                    .reload(|settings| settings.domains[0].presence.default_handling = handling);
                self.receive();
            }
        }
    }

    /// What a fetch shows.
    fn truth(&mut self, whom: usize) -> String {
        let name = format!("judge{whom}");
        let text = self.world.subscribe_text(&name, 7996, "Expires: 0\r\n");
        let before = self.world.sent.len();
        self.request(7996, &of(whom, &text), Death::None);
        let notify = self.world.notifies(before).pop();
        self.answer();
        notify.expect("a fetch shows the state").body
    }

    /// What holds at the end of every story.
    fn end(mut self) {
        self.answer();
        let truths = [self.truth(0), self.truth(1)];
        let live = self.world.shard.counts().subscriptions;
        let told = self
            .watchers
            .values()
            .filter(|watcher| !watcher.ended)
            .collect::<Vec<_>>();
        assert!(
            live <= told.len(),
            "{live} subscriptions, {} watchers know of one",
            told.len()
        );
        if live == told.len() {
            for watcher in told {
                let whom = usize::from(watcher.answer.need("To").contains("alina@"));
                assert_eq!(
                    watcher.body, truths[whom],
                    "every watcher ends with the composition of the live publications"
                );
            }
        }
        let published = self.world.shard.counts().publications;
        assert!(
            published <= self.tags.len(),
            "no publication that its source does not know of"
        );
        // And when all has ended, nothing is left.
        for _ in 0..30 {
            self.world.advance(Duration::from_secs(30));
            self.receive();
            self.answer();
        }
        let counts = self.world.shard.counts();
        assert_eq!(
            (
                counts.presentities,
                counts.publications,
                counts.subscriptions
            ),
            (0, 0, 0)
        );
        assert!(self.world.disk.is_empty(), "{:?}", self.world.disk);
        assert_eq!(self.world.shard.remembered(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_holds(steps in steps()) {
        let mut story = Story::new();
        for (step, death) in steps {
            story.step(step, death);
        }
        story.end();
    }
}
