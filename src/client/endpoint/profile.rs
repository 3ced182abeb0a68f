//! The files with profiles that AWS tools share.
//!
//! Guarantees: a profile or a file that a variable names and that gives no access key is said by
//! name, with the reason; a secret is never printed. Source:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::client::{Error, Result};
use crate::sigv4::Credentials;

/// A value of a section, by its key.
type Section = BTreeMap<String, String>;

/// The profile that counts, and the files it may be in.
pub(super) struct Profile {
    name: String,
    /// Whether `AWS_PROFILE` names it.
    is_named: bool,
    credentials: ProfileFile,
    config: ProfileFile,
}

struct ProfileFile {
    path: PathBuf,
    /// The variable that names it, if one does.
    variable: Option<&'static str>,
    text: std::io::Result<String>,
}

impl ProfileFile {
    fn read(variable: &'static str, name: &str, env: &impl Fn(&str) -> Option<String>) -> Self {
        let named = env(variable).map(PathBuf::from);
        let in_home = || Some(std::env::home_dir()?.join(".aws").join(name));
        let is_named = named.is_some();
        let path = named.or_else(in_home).unwrap_or_default();
        let text = std::fs::read_to_string(&path);
        Self { path, variable: is_named.then_some(variable), text }
    }

    fn section(&self, name: &str) -> Section {
        self.text.as_ref().map(|text| parse(text, name)).unwrap_or_default()
    }

    fn has_section(&self, name: &str) -> bool {
        self.text.as_ref().is_ok_and(|text| titles(text).any(|title| title == name))
    }

    /// Why nothing could be read, if that is a mistake.
    fn problem(&self) -> Option<String> {
        let error = self.text.as_ref().err()?;
        let path = self.path.display();
        match self.variable {
            Some(variable) => {
                Some(format!("{variable} names {path}, which cannot be read: {error}"))
            }
            None if error.kind() == ErrorKind::NotFound => None,
            None => Some(format!("{path} cannot be read: {error}")),
        }
    }
}

impl Profile {
    pub fn find(env: &impl Fn(&str) -> Option<String>) -> Self {
        let name = env("AWS_PROFILE");
        Self {
            is_named: name.is_some(),
            name: name.unwrap_or_else(|| "default".to_owned()),
            credentials: ProfileFile::read("AWS_SHARED_CREDENTIALS_FILE", "credentials", env),
            config: ProfileFile::read("AWS_CONFIG_FILE", "config", env),
        }
    }

    /// A value of the file `config`.
    pub fn value(&self, key: &str) -> Option<String> {
        self.config.section(&config_section(&self.name)).remove(key)
    }

    /// The access key of the profile. **Errors**: `WrongUse` if there is none, though a variable
    /// names the profile or a file.
    pub fn credentials(&self) -> Result<Option<Credentials>> {
        let found = credentials_of(&self.credentials.section(&self.name))
            .or_else(|| credentials_of(&self.config.section(&config_section(&self.name))));
        let is_asked_for = self.is_named || self.credentials.variable.is_some();
        if found.is_some() || !is_asked_for {
            return Ok(found);
        }
        Err(Error::WrongUse(self.why_none()))
    }

    fn why_none(&self) -> String {
        let files = [&self.credentials, &self.config];
        let mut reasons: Vec<String> = files.iter().filter_map(|file| file.problem()).collect();
        let Self { name, credentials, config, is_named } = self;
        let of = if *is_named { " (AWS_PROFILE)" } else { "" };
        let (first, second) = (credentials.path.display(), config.path.display());
        if credentials.has_section(name) || config.has_section(&config_section(name)) {
            reasons.push(format!(
                "the profile {name:?}{of} has no aws_access_key_id with aws_secret_access_key"
            ));
        } else {
            let others = self.names();
            let others = match others.is_empty() {
                true => String::new(),
                false => format!("; they have {}", others.join(", ")),
            };
            reasons.push(format!(
                "the profile {name:?}{of} is neither in {first} nor in {second}{others}"
            ));
        }
        format!("there are no credentials: {}", reasons.join("; "))
    }

    /// The profiles that there are.
    fn names(&self) -> Vec<String> {
        let of = |file: &ProfileFile| -> Vec<String> {
            let text = file.text.as_deref().unwrap_or_default();
            titles(text)
                .map(|title| format!("{:?}", title.trim_start_matches("profile ")))
                .collect()
        };
        let all: BTreeSet<String> =
            of(&self.credentials).into_iter().chain(of(&self.config)).collect();
        all.into_iter().collect()
    }
}

/// The name that a profile's section has in the config file.
fn config_section(profile: &str) -> String {
    if profile == "default" { profile.to_owned() } else { format!("profile {profile}") }
}

pub(super) fn credentials_of(keys: &Section) -> Option<Credentials> {
    let (id, secret) = (keys.get("aws_access_key_id")?, keys.get("aws_secret_access_key")?);
    Some(Credentials::new(id, secret, keys.get("aws_session_token").cloned()))
}

fn title_of(line: &str) -> Option<&str> {
    Some(line.trim().strip_prefix('[')?.strip_suffix(']')?.trim())
}

fn titles(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(title_of)
}

/// The keys of one section of an INI file; empty if there is no such section.
pub(super) fn parse(text: &str, name: &str) -> Section {
    let mut keys = BTreeMap::new();
    let mut in_section = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(title) = title_of(line) {
            in_section = title == name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| in_section) {
            keys.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_a_section_of_the_file() {
        let text = "# a\n[default]\naws_access_key_id = A\n[profile nas]\nregion=eu-central-1\n; x = y\nRegion2 = z\n";
        assert_eq!(parse(text, "default").get("aws_access_key_id").map(String::as_str), Some("A"));
        assert_eq!(
            parse(text, "profile nas").get("region").map(String::as_str),
            Some("eu-central-1")
        );
        assert_eq!(parse(text, "profile nas").len(), 2);
        assert!(parse(text, "other").is_empty());
        assert!(
            credentials_of(&parse(text, "default")).is_none(),
            "an access key needs its secret"
        );
    }

    #[test]
    fn what_a_variable_names_must_give_an_access_key() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("keys"), "[nas]\naws_access_key_id=A\n[b]\n").unwrap();
        std::fs::write(path("config"), "[profile c]\n").unwrap();
        let outcome = |profile: Option<&str>, file: &str| {
            let env = |name: &str| match name {
                "AWS_PROFILE" => profile.map(str::to_owned),
                "AWS_SHARED_CREDENTIALS_FILE" => Some(path(file)),
                "AWS_CONFIG_FILE" => Some(path("config")),
                _ => None,
            };
            Profile::find(&env).credentials().map(drop).unwrap_err().to_string()
        };
        let missing = outcome(None, "missing");
        assert!(missing.contains("AWS_SHARED_CREDENTIALS_FILE names /"), "{missing}");
        assert!(missing.contains("missing, which cannot be read: No such file"), "{missing}");
        let wrong = outcome(Some("nass"), "keys");
        assert!(wrong.contains("\"nass\" (AWS_PROFILE) is neither in "), "{wrong}");
        assert!(wrong.ends_with("they have \"b\", \"c\", \"nas\""), "{wrong}");
        let half = outcome(Some("nas"), "keys");
        assert!(half.ends_with("has no aws_access_key_id with aws_secret_access_key"), "{half}");
    }
}
