//! One process's copy of a machine whose rows several processes share.
//!
//! The rows live in one place, the home, which updates them by compare-and-set. Each process has a copy:
//!
//! 1. Commands that arrive while a step is in flight are gathered for the next one.
//! 2. A step runs on the copy. The changed rows go to the home together with the copy's version.
//! 3. The home accepts them if its version is the same. Only then are the commands answered.
//! 4. If another process was faster, the home returns the rows that changed since. The copy is rolled back, takes
//!    over those rows, and runs the step again.
//! 5. If the home's answer to a step is lost, the log of versions shows later whether it was accepted: each step
//!    has a unique version.
//! 6. While the home is unavailable the copy decides. Its answered commands are kept and replayed once the home is
//!    back, on top of the others' changes; a grant stays granted ([`SharedMachine::replay`]). A command that only the
//!    home can answer fails ([`SharedMachine::needs_home`]).
//! 7. A home may lose accepted steps (a replica takes over, or it starts empty). Its log of versions shows which of
//!    the last steps are missing, and those are replayed; an empty home gets the whole copy.
//!
//! Pure, as machines are: the host sends the requests of [`Shared::begin`] and passes the answers back.

mod machine;
mod protocol;
mod replay;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::holder::Home;
use crate::rows::Row;
use crate::{CallId, Millis};

pub use self::machine::SharedMachine;
pub use self::protocol::{Answer, Request, Version};
use self::replay::{KeptCommand, RecentCommand};

/// Number of past versions of the copy that are remembered.
const MOST_SEEN: usize = 256;

/// The next action of the holder.
pub enum NextAction<M: SharedMachine> {
    /// Nothing: no command waits, or a step is in flight.
    Nothing,
    /// Send this, and pass on the answer.
    Send(Request),
    /// The home is unavailable: the copy has decided.
    Decided(Outcome<M>),
}

/// The result of a step.
pub struct Outcome<M: SharedMachine> {
    pub answers: Vec<CommandReply<M>>,
    /// Commands without an answer: the home is unavailable, and there is no copy, or only the home can answer.
    pub failed: Vec<u64>,
    /// Waiting calls that must ask again.
    pub wake: Vec<CallId>,
    /// All waiting calls must ask again.
    pub wake_all: bool,
    /// When the machine wants to be woken; see [`crate::Step`].
    pub wake_at: Option<Millis>,
    /// Another process was faster.
    pub conflict: bool,
    /// Number of replayed commands.
    pub replayed: usize,
}

impl<M: SharedMachine> Default for Outcome<M> {
    fn default() -> Self {
        Self {
            answers: Vec::new(),
            failed: Vec::new(),
            wake: Vec::new(),
            wake_all: false,
            wake_at: None,
            conflict: false,
            replayed: 0,
        }
    }
}

/// A command with its reply.
pub struct CommandReply<M: SharedMachine> {
    /// The ticket from [`Shared::submit`].
    pub ticket: u64,
    pub command: M::Command,
    pub reply: M::Reply,
}

/// See the module. `Default` has no copy yet.
pub struct Shared<M: SharedMachine> {
    machine: M,
    /// The home's rows at `version`.
    base: BTreeMap<Row, String>,
    version: Version,
    /// The last versions of the copy.
    seen: VecDeque<Version>,
    /// Whether the home ever answered.
    known: bool,
    /// Rows in which the machine may differ from the home's.
    touched: BTreeSet<Row>,
    gathered: VecDeque<(u64, M::Command)>,
    /// Answered commands that are not known to be in the home.
    kept: VecDeque<KeptCommand<M::Command>>,
    /// The machine has run the kept commands.
    applied: bool,
    /// Wake-ups of kept commands that have run.
    wakes: WakeUps,
    recent: VecDeque<RecentCommand<M::Command>>,
    sent: Option<SentRequest<M>>,
    away: bool,
    wake_at: Option<Millis>,
}

impl<M: SharedMachine<Command: Clone>> Home for Shared<M> {
    type Machine = M;
}

/// A request in flight.
struct SentRequest<M: SharedMachine> {
    request: Request,
    /// It only compares versions.
    only_compares: bool,
    answers: Vec<CommandReply<M>>,
}

/// The calls to wake once the home has accepted the step.
#[derive(Clone, Debug, Default)]
struct WakeUps {
    calls: Vec<CallId>,
    news: bool,
}

impl<M: SharedMachine> Default for Shared<M> {
    fn default() -> Self {
        Self {
            machine: M::default(),
            base: BTreeMap::new(),
            version: Version::default(),
            seen: VecDeque::new(),
            known: false,
            touched: BTreeSet::new(),
            gathered: VecDeque::new(),
            kept: VecDeque::new(),
            applied: true,
            wakes: WakeUps::default(),
            recent: VecDeque::new(),
            sent: None,
            away: false,
            wake_at: None,
        }
    }
}

impl<M> Shared<M>
where
    M: SharedMachine,
    M::Command: Clone,
{
    /// Adds a command to the next step. Its answer carries the ticket.
    pub fn submit(&mut self, ticket: u64, command: M::Command) {
        self.gathered.push_back((ticket, command));
    }

    /// The next step, if there is any work. `name` is a new unique name for it.
    pub fn begin(&mut self, now: Millis, name: u128) -> NextAction<M> {
        if self.away {
            return self.decide(now);
        }
        let nothing = self.gathered.is_empty() && self.kept.is_empty() && self.touched.is_empty();
        if self.sent.is_some() || nothing {
            return NextAction::Nothing;
        }
        if !self.known {
            return NextAction::Send(self.comparison());
        }
        self.apply(now);
        let answers = self.handle_gathered(now);
        let rows: Vec<_> = self
            .touched
            .iter()
            .map(|row| (*row, self.machine.row(*row)))
            .filter(|(row, text)| self.base.get(row) != text.as_ref())
            .collect();
        let last = self.seen.back().copied().unwrap_or_default();
        // A new version keeps out an earlier request of the kept commands that is still under way.
        let fences = self.kept.iter().any(|kept| !kept.steps.is_empty());
        let next = (fences || !rows.is_empty()).then_some(Version {
            number: self.version.number.max(last.number).saturating_add(1),
            name,
        });
        let before = if self.version.number == 0 {
            self.seen.iter().copied().collect()
        } else {
            Vec::new()
        };
        let WakeUps { calls, news } = std::mem::take(&mut self.wakes);
        let request = Request {
            base: self.version,
            next,
            before,
            rows,
            wake: calls,
            news,
            over: self.machine.is_over(),
        };
        for kept in &mut self.kept {
            kept.steps.extend(next);
        }
        self.sent = Some(SentRequest {
            request: request.clone(),
            only_compares: false,
            answers,
        });
        NextAction::Send(request)
    }

    /// Asks for the others' changes, and whether the home is back. `None`: a step is in flight.
    pub fn probe(&mut self) -> Option<Request> {
        self.sent.is_none().then(|| self.comparison())
    }

    /// Takes over the home's answer.
    pub fn answered(&mut self, now: Millis, answer: Answer) -> Outcome<M> {
        let Some(sent) = self.sent.take() else {
            return Outcome::default();
        };
        let mut outcome = Outcome::default();
        (self.known, self.away) = (true, false);
        match answer {
            Answer::Yes if sent.only_compares => {}
            Answer::Yes => {
                self.apply_rows(&sent.request);
                // Nothing was kept since: commands are kept only while the home is unavailable.
                let kept = std::mem::take(&mut self.kept);
                outcome.replayed = kept.len();
                self.remember(now, kept.into_iter(), self.step_of(&sent.request));
                self.complete(now, sent, &mut outcome);
            }
            Answer::Changed { version, rows, log } => {
                self.roll_back();
                self.set_version(version, &log);
                for (row, text) in rows {
                    self.take_over(row, text, &mut outcome.wake);
                }
                let knows = |step: &Version| log.contains(step);
                self.confirm_kept(now, knows, &mut outcome);
                self.retry(now, sent, knows, &mut outcome);
            }
            Answer::Whole {
                version,
                rows,
                log,
                before,
            } => {
                let knows = |step: &Version| *step == version || log.contains(step) || before.contains(step);
                self.roll_back();
                if version.number == 0 {
                    // The copy has everything that the home has lost.
                    self.touched.extend(self.base.keys().copied());
                    self.base.clear();
                    self.version = version;
                } else {
                    // After a long absence the log does not reach back to the copy: it is no evidence of a loss.
                    let last = self.seen.back().map_or(0, |last| last.number);
                    let numbers: BTreeSet<u64> = log.iter().chain(&before).map(|step| step.number).collect();
                    if (last..version.number).all(|number| numbers.contains(&number)) {
                        self.replay_lost(knows);
                    }
                    self.base = rows.iter().cloned().collect();
                    self.machine = M::from_rows(rows);
                    outcome.wake_all = true;
                    self.set_version(version, &[log.as_slice(), &before].concat());
                }
                self.confirm_kept(now, knows, &mut outcome);
                self.retry(now, sent, knows, &mut outcome);
            }
        }
        outcome.wake_at = self.wake_at;
        outcome
    }

    /// There was no answer in time, or the home is unreachable.
    pub fn unanswered(&mut self, now: Millis) -> Outcome<M> {
        let mut outcome = Outcome::default();
        let Some(mut sent) = self.sent.take() else {
            return outcome;
        };
        if !self.known {
            // There is no copy to decide by.
            outcome.failed = self.gathered.drain(..).map(|(ticket, _)| ticket).collect();
            return outcome;
        }
        self.away = true;
        if sent.only_compares {
            return outcome;
        }
        outcome.wake.clone_from(&sent.request.wake);
        self.wakes.calls.extend(&sent.request.wake);
        self.wakes.news |= sent.request.news;
        let fails = |answer: &mut CommandReply<M>| M::needs_home(&answer.command);
        let failed = sent.answers.extract_if(.., fails);
        outcome.failed.extend(failed.map(|answer| answer.ticket));
        self.keep(&sent.answers, sent.request.next);
        self.touched.extend(sent.request.rows.iter().map(|(row, _)| *row));
        outcome.answers = sent.answers;
        if let NextAction::Decided(also) = self.decide(now) {
            outcome.answers.extend(also.answers);
            outcome.failed.extend(also.failed);
            outcome.wake.extend(also.wake);
        }
        outcome.wake_at = self.wake_at;
        outcome
    }

    /// Whether the home is unavailable, so that the host must [`Shared::probe`].
    pub fn is_away(&self) -> bool {
        self.away
    }

    /// Whether no command waits here, is in flight, or is missing in the home.
    pub fn is_idle(&self) -> bool {
        let quiet = self.sent.is_none() && self.gathered.is_empty() && !self.away;
        quiet && self.kept.is_empty() && self.touched.is_empty()
    }

    /// Whether the home answered and has no rows of this machine.
    pub fn is_new(&self) -> bool {
        self.known && self.version.number == 0
    }

    /// Takes over a machine that was stored in another form, for a home without rows of it.
    pub fn adopt(&mut self, machine: M) {
        if self.is_new() && self.sent.is_none() && self.touched.is_empty() {
            self.touched.extend(machine.rows());
            self.machine = machine;
        }
    }

    /// Drops the copy. Returns the tickets of commands that get no answer.
    pub fn forget(&mut self) -> Vec<u64> {
        let gathered = std::mem::take(&mut self.gathered);
        *self = Self::default();
        gathered.into_iter().map(|(ticket, _)| ticket).collect()
    }

    /// Queries the copy without a step.
    pub fn ask<T>(&self, question: impl FnOnce(&M) -> T) -> T {
        question(&self.machine)
    }

    /// Answered commands that the home does not have.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// The home is unavailable: the copy decides.
    fn decide(&mut self, now: Millis) -> NextAction<M> {
        if self.gathered.is_empty() {
            return NextAction::Nothing;
        }
        self.apply(now);
        let gathered = std::mem::take(&mut self.gathered);
        let (failed, decided): (VecDeque<_>, VecDeque<_>) = gathered
            .into_iter()
            .partition(|(_, command)| M::needs_home(command));
        self.gathered = decided;
        let before = self.wakes.calls.len();
        let answers = self.handle_gathered(now);
        self.keep(&answers, None);
        NextAction::Decided(Outcome {
            answers,
            failed: failed.into_iter().map(|(ticket, _)| ticket).collect(),
            wake: self.wakes.calls.get(before..).unwrap_or_default().to_vec(),
            wake_at: self.wake_at,
            ..Outcome::default()
        })
    }

    fn comparison(&mut self) -> Request {
        let request = Request {
            base: self.version,
            next: None,
            before: Vec::new(),
            rows: Vec::new(),
            wake: Vec::new(),
            news: false,
            over: false,
        };
        self.sent = Some(SentRequest {
            request: request.clone(),
            only_compares: true,
            answers: Vec::new(),
        });
        request
    }

    fn handle(&mut self, now: Millis, command: M::Command) -> M::Reply {
        self.wakes.news |= M::is_news(&command);
        let step = self.machine.handle(now, command);
        self.touched.extend(step.rows);
        self.wakes.calls.extend(step.wake);
        self.wake_at = step.wake_at;
        step.reply
    }

    fn handle_gathered(&mut self, now: Millis) -> Vec<CommandReply<M>> {
        let gathered = std::mem::take(&mut self.gathered);
        let answer = |(ticket, command): (u64, M::Command)| {
            let reply = self.handle(now, command.clone());
            CommandReply {
                ticket,
                command,
                reply,
            }
        };
        gathered.into_iter().map(answer).collect()
    }

    /// The home has accepted these rows.
    fn apply_rows(&mut self, request: &Request) {
        for (row, text) in &request.rows {
            match text {
                Some(text) => _ = self.base.insert(*row, text.clone()),
                None => _ = self.base.remove(row),
            }
        }
        self.touched.clear();
        if let Some(next) = request.next {
            self.set_version(next, &[]);
        }
    }

    /// The copy now has this version, and had those of the log.
    fn set_version(&mut self, version: Version, log: &[Version]) {
        self.version = version;
        let mut passed: Vec<_> = log.iter().copied().chain([version]).collect();
        passed.sort_unstable();
        passed.dedup();
        let last = self.seen.back().map_or(0, |last| last.number);
        self.seen
            .extend(passed.into_iter().filter(|passed| passed.number > last));
        while self.seen.len() > MOST_SEEN {
            self.seen.pop_front();
        }
    }

    /// The version by which a lost step is recognised. A step without rows makes no version. It changed nothing, but
    /// perhaps only because its commands undid each other, or came after a replayed one; so they are replayed with any
    /// step that is lost after its base.
    fn step_of(&self, request: &Request) -> Version {
        request.next.unwrap_or(Version {
            number: self.version.number.saturating_add(1),
            name: 0,
        })
    }

    /// The home has accepted the step, so its commands are answered.
    fn complete(&mut self, now: Millis, sent: SentRequest<M>, outcome: &mut Outcome<M>) {
        let again = |answer: &CommandReply<M>| M::replay(answer.command.clone(), &answer.reply);
        let commands = sent.answers.iter().filter_map(again).map(KeptCommand::new);
        let commands: Vec<_> = commands.collect();
        let step = self.step_of(&sent.request);
        self.remember(now, commands.into_iter(), step);
        outcome.answers = sent.answers;
        outcome.wake.extend(sent.request.wake);
    }

    /// Rolls the machine back to the home's rows.
    fn roll_back(&mut self) {
        let mut nobody = Vec::new();
        for row in std::mem::take(&mut self.touched) {
            self.machine
                .put(row, self.base.get(&row).map(String::as_str), &mut nobody);
        }
        self.wakes = WakeUps::default();
        self.applied = false;
    }

    fn take_over(&mut self, row: Row, text: Option<String>, woken: &mut Vec<CallId>) {
        self.machine.put(row, text.as_deref(), woken);
        match text {
            Some(text) => _ = self.base.insert(row, text),
            None => _ = self.base.remove(&row),
        }
    }

    /// After others' changes: answers the commands that the home has accepted all the same, and runs the others
    /// again.
    fn retry(
        &mut self,
        now: Millis,
        sent: SentRequest<M>,
        knows: impl Fn(&Version) -> bool,
        outcome: &mut Outcome<M>,
    ) {
        if sent.only_compares {
            return;
        }
        if sent.request.next.as_ref().is_some_and(knows) {
            return self.complete(now, sent, outcome);
        }
        outcome.conflict = true;
        for CommandReply { ticket, command, .. } in sent.answers.into_iter().rev() {
            self.gathered.push_front((ticket, command));
        }
    }
}
