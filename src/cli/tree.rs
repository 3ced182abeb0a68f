//! The options for directories: which files count, and what becomes of what only the destination
//! has.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use crate::client::{Delete, Error, Filter, Pattern, Result, TreeOptions};

#[derive(Debug, clap::Args)]
pub struct TreeArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Delete at the destination what the source does not have; not what is excluded, and nothing
    /// at all if something failed.
    #[arg(long)]
    delete: bool,
    /// Change nothing; print what --delete would delete.
    #[arg(long, requires = "delete")]
    dry_run: bool,
}

impl TreeArgs {
    pub fn delete(&self) -> Delete {
        match (self.delete, self.dry_run) {
            (false, _) => Delete::Never,
            (true, false) => Delete::Extra,
            (true, true) => Delete::Show,
        }
    }

    /// **Errors**: as `FilterArgs::filter`.
    pub fn options(&self) -> Result<TreeOptions> {
        Ok(TreeOptions { filter: self.filter.filter()?, delete: self.delete() })
    }

    /// **Errors**: `WrongUse` if there is an option for directories and this is none.
    pub fn require_tree(&self, is_tree: bool) -> Result<()> {
        if self.delete && !is_tree {
            return Err(Error::WrongUse("--delete is for directories and prefixes".to_owned()));
        }
        self.filter.require_tree(is_tree)
    }
}

/// The patterns, in the order in which they were typed.
#[derive(Clone, Debug, Default)]
pub struct FilterArgs(Vec<Pattern>);

impl FilterArgs {
    /// **Errors**: `WrongUse` for a pattern that is none, `Io` for a file that cannot be read.
    pub fn filter(&self) -> Result<Filter> {
        Filter::new(&self.0)
    }

    /// **Errors**: `WrongUse` if there is a pattern and this is no directory.
    pub fn require_tree(&self, is_tree: bool) -> Result<()> {
        if self.0.is_empty() || is_tree {
            return Ok(());
        }
        let text = "--exclude, --include and --exclude-from are for directories and prefixes";
        Err(Error::WrongUse(text.to_owned()))
    }
}

const EXCLUDE: &str = "exclude";
const INCLUDE: &str = "include";
const EXCLUDE_FROM: &str = "exclude_from";

/// By hand: which pattern decides depends on the order over all three options.
impl clap::Args for FilterArgs {
    fn augment_args(command: Command) -> Command {
        let repeated = |name: &'static str| Arg::new(name).action(ArgAction::Append);
        command
            .arg(repeated(EXCLUDE).long("exclude").value_name("PATTERN").help(
                "Leave out what matches, a pattern as in .gitignore; the last one that matches \
                     decides",
            ))
            .arg(
                repeated(INCLUDE)
                    .long("include")
                    .value_name("PATTERN")
                    .help("Leave in what matches and an earlier pattern excludes"),
            )
            .arg(
                repeated(EXCLUDE_FROM)
                    .long("exclude-from")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help("Patterns of a file, one a line, as in .gitignore"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let mut patterns = of_type(matches, EXCLUDE, Pattern::Exclude);
        patterns.extend(of_type(matches, INCLUDE, Pattern::Include));
        patterns.extend(of_type(matches, EXCLUDE_FROM, Pattern::ExcludeFrom));
        patterns.sort_by_key(|(place, _)| *place);
        Ok(Self(patterns.into_iter().map(|(_, pattern)| pattern).collect()))
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The values of one option, each with its place on the line.
fn of_type<T: Clone + Send + Sync + 'static>(
    matches: &ArgMatches,
    name: &str,
    pattern: impl Fn(T) -> Pattern,
) -> Vec<(usize, Pattern)> {
    let places = matches.indices_of(name).into_iter().flatten();
    let values = matches.get_many::<T>(name).into_iter().flatten().cloned();
    places.zip(values.map(pattern)).collect()
}
