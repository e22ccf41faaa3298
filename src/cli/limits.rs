//! The money limits of keys as options and arguments.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};
use crs_durable::gate::{MoneyLimit, PerLimit};

/// An option for each limit: `--daily-cost USD`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MoneyOptions(pub(super) PerLimit<Option<f64>>);

impl FromArgMatches for MoneyOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(PerLimit::of(|limit| {
            matches.get_one::<f64>(limit.row().option).copied()
        })))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for MoneyOptions {
    fn augment_args(command: Command) -> Command {
        command.args(MoneyLimit::ALL.map(|limit| {
            let row = limit.row();
            Arg::new(row.option)
                .long(row.option)
                .value_name("USD")
                .value_parser(value_parser!(f64))
                .help(row.about.trim_end_matches('.'))
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The parts of a key's spending that can be reset, by their names in the admin API.
pub(super) fn resettable() -> PossibleValuesParser {
    let sums = MoneyLimit::ALL.into_iter().map(|limit| limit.row().sum);
    PossibleValuesParser::new(["window"].into_iter().chain(sums).chain(["all"]))
}
