//! Commands that may have to be replayed: those that the home does not have yet, and the latest of those it has.

use std::collections::VecDeque;

use super::{CommandReply, Outcome, Shared, SharedMachine, Version};
use crate::Millis;

/// Maximum number of answered commands to keep while the home is unavailable. Above it the oldest are dropped: leases
/// end by themselves, and the ledger has the usage.
const MOST_KEPT: usize = 50_000;

/// How long an accepted step may still be replayed, and the maximum number of its commands.
const RECENT_MS: u64 = 10_000;
const MOST_RECENT: usize = 5_000;

#[derive(Debug)]
pub(super) struct KeptCommand<C> {
    pub(super) command: C,
    /// Steps that sent the kept commands and have no answer yet: one may still arrive late.
    pub(super) steps: Vec<Version>,
}

impl<C> KeptCommand<C> {
    pub(super) fn new(command: C) -> Self {
        Self {
            command,
            steps: Vec::new(),
        }
    }
}

/// A command that the home has.
#[derive(Debug)]
pub(super) struct RecentCommand<C> {
    /// Earlier steps that sent it may arrive even now, after a failover took back the accepted one.
    pub(super) kept: KeptCommand<C>,
    /// The accepted step.
    pub(super) step: Version,
    pub(super) at: Millis,
}

impl<M> Shared<M>
where
    M: SharedMachine,
    M::Command: Clone,
{
    /// Runs the kept commands, unless the machine already has.
    pub(super) fn apply(&mut self, now: Millis) {
        if std::mem::replace(&mut self.applied, true) {
            return;
        }
        let commands: Vec<_> = self.kept.iter().map(|kept| kept.command.clone()).collect();
        for command in commands {
            self.handle(now, command);
        }
    }

    pub(super) fn keep(&mut self, answers: &[CommandReply<M>], step: Option<Version>) {
        let again = |answer: &CommandReply<M>| M::replay(answer.command.clone(), &answer.reply);
        let kept = answers.iter().filter_map(again);
        let steps: Vec<_> = step.into_iter().collect();
        let entry = |command| KeptCommand {
            command,
            steps: steps.clone(),
        };
        self.kept.extend(kept.map(entry));
        while self.kept.len() > MOST_KEPT {
            self.kept.pop_front();
        }
    }

    /// Removes kept commands from `kept` that these accepted steps sent.
    pub(super) fn confirm_kept(
        &mut self,
        now: Millis,
        knows: impl Fn(&Version) -> bool,
        outcome: &mut Outcome<M>,
    ) {
        if self.kept.is_empty() {
            return;
        }
        for kept in std::mem::take(&mut self.kept) {
            match kept.steps.iter().find(|step| knows(step)).copied() {
                Some(step) => {
                    outcome.replayed += 1;
                    self.remember(now, std::iter::once(kept), step);
                }
                None => self.kept.push_back(kept),
            }
        }
    }

    /// The home has lost those of the last steps that came after the newest common version: they are replayed.
    pub(super) fn replay_lost(&mut self, knows: impl Fn(&Version) -> bool) {
        let common = self.seen.iter().rev().find(|seen| knows(seen));
        let common = common.map_or(0, |common| common.number);
        self.seen.retain(|seen| seen.number <= common);
        let recent = std::mem::take(&mut self.recent);
        let is_there = |recent: &RecentCommand<M::Command>| recent.step.number <= common;
        let (there, lost): (VecDeque<_>, VecDeque<_>) = recent.into_iter().partition(is_there);
        self.recent = there;
        for recent in lost.into_iter().rev() {
            self.kept.push_front(recent.kept);
        }
    }

    pub(super) fn remember(
        &mut self,
        now: Millis,
        commands: impl Iterator<Item = KeptCommand<M::Command>>,
        step: Version,
    ) {
        self.recent
            .extend(commands.map(|kept| RecentCommand { kept, step, at: now }));
        let old = |recent: &RecentCommand<M::Command>| recent.at.saturating_add(RECENT_MS) < now;
        while self.recent.len() > MOST_RECENT || self.recent.front().is_some_and(old) {
            self.recent.pop_front();
        }
    }
}
