//! Follows a flow with a driver, step by step, and says where it went wrong.

use std::collections::BTreeMap;
use std::fmt;

use ladder::Trace;
use sip::Message;

use crate::agent::{Agent, Exchange, parse};
use crate::driver::Driver;
use crate::flow::{Asks, Deed, Flow, Gets, Moment, Request, Sends, Step};
use crate::matching::{self, Kept};
use crate::steps::ANONYMOUS;
use crate::watchers::{self, WatcherInfo};

/// RFC 3261 §17.1.2.2: the first interval between two sendings of one request over UDP, and the longest.
const T1: u64 = 500_000;
const T2: u64 = 4_000_000;
/// The server's clock starts when its answer leaves, an actor's when it has read it: so much may something seem to come early.
const EARLY: u64 = 300_000;

/// Where a run went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The flow's file.
    pub file: String,
    /// The line of the step in it.
    pub line: usize,
    /// What the step does.
    pub step: String,
    /// What was expected, and what came.
    pub what: String,
    /// What happened up to there.
    pub trace: Trace,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}: {}\n\n{}",
            self.file,
            self.line,
            self.step,
            self.what,
            self.trace.text()
        )
    }
}

impl std::error::Error for Failure {}

/// Follows a flow to its end. Gives what happened.
pub fn run(flow: &Flow, driver: &mut dyn Driver) -> Result<Trace, Box<Failure>> {
    let mut kept = Kept::new();
    for actor in &flow.actors {
        kept.insert(actor.user.clone(), driver.identity(&actor.user));
    }
    let agents = flow
        .actors
        .iter()
        .enumerate()
        .map(|(index, actor)| Agent::new(index, &actor.user, driver))
        .collect();
    let mut run = Run {
        flow,
        agents,
        kept,
        ends: BTreeMap::new(),
        ended: driver.now(),
        driver,
    };
    for step in &flow.steps {
        if let Err(what) = run.step(step) {
            return Err(Box::new(run.failure(step.line, run.describe(step), what)));
        }
    }
    let last = flow.steps.last().map_or(0, |step| step.line);
    run.end()
        .map_err(|what| Box::new(run.failure(last, "the end".to_owned(), what)))?;
    Ok(std::mem::take(run.driver.trace()))
}

struct Run<'f, 'd> {
    flow: &'f Flow,
    driver: &'d mut dyn Driver,
    agents: Vec<Agent>,
    kept: Kept,
    /// When steps with a name ended.
    ends: BTreeMap<String, u64>,
    /// When the step before ended.
    ended: u64,
}

impl Run<'_, '_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        if let Some(note) = &step.note {
            let now = self.driver.now();
            self.driver.trace().note(now, None, note);
        }
        self.ended = match &step.deed {
            Deed::Sends(sends) => self.sends(sends)?,
            Deed::Asks(asks) => self.asks(asks)?,
            Deed::Gets(gets) => self.gets(gets)?,
            Deed::Quiet { who, until } => self.quiet(*who, until)?,
            Deed::Waits(until) => {
                let until = self.moment(until);
                self.pump(until, |_| false)?;
                until
            }
        };
        if let Some(name) = &step.name {
            self.ends.insert(name.clone(), self.ended);
        }
        Ok(())
    }

    fn sends(&mut self, sends: &Sends) -> Result<u64, String> {
        let address = self.agents[sends.who].address();
        self.kept.insert("me".to_owned(), address);
        let exchange = self.agents[sends.who].request(&sends.what, &self.kept, self.driver)?;
        self.driver.send(sends.who, &exchange.request)?;
        let (at, response) = self.response(sends.who, &exchange)?;
        let came = parse(&response)?;
        let shown = || format!("\n{}", String::from_utf8_lossy(&response));
        self.agents[sends.who]
            .accept(&exchange, &response)
            .map_err(|why| why + &shown())?;
        if let (Request::Again, Some(before)) = (&sends.what, &exchange.response) {
            same_answer(&parse(before)?, &came).map_err(|why| why + &shown())?;
        }
        let said = |name: &str| matching::value(&came, name);
        matching::judge(said, &sends.answer, &self.kept).map_err(|why| why + &shown())?;
        self.keep(&sends.keep, said)?;
        self.agents[sends.who].last = Some(Exchange {
            response: Some(response.clone()),
            ..exchange
        });
        Ok(at)
    }

    fn asks(&mut self, asks: &Asks) -> Result<u64, String> {
        let address = self.agents[asks.who].address();
        self.kept.insert("me".to_owned(), address);
        let asked = self.agents[asks.who].asked(asks, &self.kept);
        let (at, told) = self.driver.ask(asks.who, &asked)?;
        let shown = || format!("\n{}", String::from_utf8_lossy(&told.write()));
        told.rules(&asked).map_err(|why| why + &shown())?;
        let said = |name: &str| told.value(name);
        matching::judge(said, &asks.answer, &self.kept).map_err(|why| why + &shown())?;
        self.keep(&asks.keep, said)?;
        Ok(at)
    }

    /// The final response to a request, which is sent again as often as RFC 3261 §17.1.2 says.
    fn response(&mut self, who: usize, exchange: &Exchange) -> Result<(u64, Vec<u8>), String> {
        let begun = self.driver.now();
        let deadline = begun + self.driver.patience();
        let (mut interval, mut again) = (T1, begun + T1);
        loop {
            let until = if self.agents[who].repeats() {
                again.min(deadline)
            } else {
                deadline
            };
            self.pump(until, |agents| {
                agents[who]
                    .responses
                    .iter()
                    .any(|(_, bytes)| answers(&exchange.request, bytes))
            })?;
            let responses = &mut self.agents[who].responses;
            if let Some(found) = responses
                .iter()
                .position(|(_, bytes)| answers(&exchange.request, bytes))
            {
                let response = responses.remove(found);
                return response.ok_or_else(|| "no answer".to_owned());
            }
            if self.driver.now() >= deadline {
                return Err(format!(
                    "no answer came in {} s",
                    self.driver.patience() / 1_000_000
                ));
            }
            self.driver.send(who, &exchange.request)?;
            interval = (interval * 2).min(T2);
            again += interval;
        }
    }

    fn gets(&mut self, gets: &Gets) -> Result<u64, String> {
        let patience = self.driver.patience();
        let now = self.driver.now();
        let deadline = match &gets.when {
            Some(window) => {
                self.ends
                    .get(&window.after)
                    .map_or(now, |after| after + window.to)
                    .max(now)
                    + patience
            }
            None => now + patience,
        };
        self.pump(deadline, |agents| !agents[gets.who].inbox.is_empty())?;
        let name = &self.flow.actors[gets.who].name;
        let (at, bytes) = self.agents[gets.who]
            .inbox
            .pop_front()
            .ok_or_else(|| format!("no {} came to {name}", gets.method))?;
        let shown = || format!("\n{}", String::from_utf8_lossy(&bytes));
        let request = parse(&bytes)?;
        if request.method().name() != gets.method {
            return Err(format!(
                "{} was expected, {} came{}",
                gets.method,
                request.method().name(),
                shown()
            ));
        }
        if let Some(window) = &gets.when {
            let passed = at.saturating_sub(self.ends.get(&window.after).copied().unwrap_or(at));
            if passed + EARLY < window.from || passed > window.to {
                let seconds = |micros: u64| format!("{:.3} s", micros as f64 / 1e6);
                let (from, to) = (seconds(window.from), seconds(window.to));
                return Err(format!(
                    "it was expected from {from} to {to} after {}, and came after {}",
                    window.after,
                    seconds(passed)
                ));
            }
        }
        self.kept
            .insert("me".to_owned(), self.agents[gets.who].address());
        let said = |name: &str| matching::value(&request, name);
        matching::judge(said, &gets.fields, &self.kept).map_err(|why| why + &shown())?;
        if let Some(document) = &gets.document {
            matching::judge_document(&request, document, &self.kept)?;
        }
        if let Some(expected) = &gets.watchers {
            let expected = self.addressed(expected);
            let judged = WatcherInfo::read(request.body()).and_then(|info| info.judge(&expected));
            judged.map_err(|why| format!("watchers: {why}{}", shown()))?;
        }
        self.keep(&gets.keep, said)?;
        Ok(at)
    }

    /// Users become addresses.
    fn addressed(&self, expected: &watchers::Expected) -> watchers::Expected {
        let mut expected = expected.clone();
        for [user, ..] in &mut expected.who {
            let known = match user.as_str() {
                ANONYMOUS => "sip:anonymous@anonymous.invalid",
                user => self.kept.get(user).map_or(user, String::as_str),
            };
            *user = known.to_owned();
        }
        expected
    }

    fn quiet(&mut self, who: Option<usize>, until: &Moment) -> Result<u64, String> {
        let until = self.moment(until);
        let listens = |agents: &[Agent]| {
            agents
                .iter()
                .any(|agent| who.is_none_or(|who| who == agent.index) && !agent.inbox.is_empty())
        };
        self.pump(until, listens)?;
        if listens(&self.agents) {
            return Err(format!(
                "nothing was expected, but there came\n{}",
                self.pending()
            ));
        }
        Ok(until)
    }

    /// Nothing may have come that no step took.
    fn end(&mut self) -> Result<(), String> {
        if self.agents.iter().any(|agent| !agent.inbox.is_empty()) {
            return Err(format!("no step expects\n{}", self.pending()));
        }
        self.driver.verdict()
    }

    fn pending(&self) -> String {
        let all = self.agents.iter().flat_map(|agent| &agent.inbox);
        all.map(|(_, bytes)| String::from_utf8_lossy(bytes))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn moment(&self, moment: &Moment) -> u64 {
        let after = moment
            .after
            .as_ref()
            .and_then(|name| self.ends.get(name))
            .copied();
        after.unwrap_or(self.ended) + moment.micros
    }

    /// Takes what comes until then, or until `enough`.
    fn pump(&mut self, until: u64, enough: impl Fn(&[Agent]) -> bool) -> Result<(), String> {
        while !enough(&self.agents) {
            let Some(received) = self.driver.receive(until)? else {
                return Ok(());
            };
            let Some(agent) = self.agents.get_mut(received.actor) else {
                continue;
            };
            if received.bytes.starts_with(b"SIP/2.0 ") {
                agent.responses.push_back((received.at, received.bytes));
                continue;
            }
            let answer = agent.handle_request(received.at, &received.bytes);
            let answer = answer
                .map_err(|why| format!("{why}\n{}", String::from_utf8_lossy(&received.bytes)))?;
            self.driver.send(received.actor, &answer)?;
        }
        Ok(())
    }

    fn keep(
        &mut self,
        keep: &BTreeMap<String, String>,
        said: impl Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        for (name, field) in keep {
            let value =
                said(field).ok_or_else(|| format!("{field} is not there to be kept as {name}"))?;
            self.kept.insert(name.clone(), value);
        }
        Ok(())
    }

    fn describe(&self, step: &Step) -> String {
        let name = |who: usize| {
            self.flow
                .actors
                .get(who)
                .map_or("?", |actor| actor.name.as_str())
        };
        match &step.deed {
            Deed::Sends(sends) => match &sends.what {
                Request::Again => format!("{} sends again", name(sends.who)),
                Request::New { method, to, .. } => {
                    format!("{} sends {method} {to}", name(sends.who))
                }
            },
            Deed::Asks(asks) => format!("{} asks {} {}", name(asks.who), asks.method, asks.target),
            Deed::Gets(gets) => format!("{} gets {}", name(gets.who), gets.method),
            Deed::Quiet { who, .. } => format!("quiet at {}", who.map_or("everybody", name)),
            Deed::Waits(_) => "time passes".to_owned(),
        }
    }

    fn failure(&mut self, line: usize, step: String, what: String) -> Failure {
        Failure {
            file: self.flow.file.clone(),
            line,
            step,
            what,
            trace: std::mem::take(self.driver.trace()),
        }
    }
}

/// RFC 3261 §17.1.3: by branch and CSeq; a final one.
fn answers(request: &[u8], response: &[u8]) -> bool {
    let (Ok(sent), Ok(came)) = (Message::parse(request), Message::parse(response)) else {
        return false;
    };
    let branch = |message: &Message<'_>| {
        message
            .via()
            .ok()
            .and_then(|via| via.branch.map(str::to_owned))
    };
    came.status().is_some_and(|status| status >= 200)
        && branch(&sent) == branch(&came)
        && sent.header(sip::Name::CSeq) == came.header(sip::Name::CSeq)
}

/// RFC 3261 §17.2.2: a request that comes again gets the stored answer.
fn same_answer(before: &Message<'_>, came: &Message<'_>) -> Result<(), String> {
    for name in ["status", "To", "Expires", "SIP-ETag", "Contact"] {
        let said = |message| matching::value(message, name).unwrap_or_else(|| "nothing".to_owned());
        let (before, came) = (said(before), said(came));
        if before != came {
            return Err(format!(
                "the same request, another answer: {name} was {before}, and is {came} (RFC 3261 §17.2.2)"
            ));
        }
    }
    Ok(())
}
