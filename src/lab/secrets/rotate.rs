//! New secrets in place of old ones.
//!
//! Only the values change: comments, order and quoting of everything else stay
//! as the user wrote them. The file is replaced by a rename, so that it holds
//! all of the old secrets or all of the new ones whenever one looks.

use super::{FILE, Found, Secrets, SecretsError, draw, lock, new_password, quoted, write};
use std::ops::Range;
use std::path::Path;

/// Secrets to which [`Secrets::rotate`] gives new values.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// Every password in the file, and the seed.
    All,
    /// The passwords of these: the host owner or users.
    Names(&'a [String]),
}

impl Secrets {
    /// Writes new secrets for the lab in `dir`; those of `users` that the file
    /// lacks are made too. Returns what changed: `seed`, and names.
    ///
    /// # Errors
    /// There are none yet, a name has no password, or the file cannot be read
    /// or written, is readable by others, or is malformed. Then it is as it was.
    pub fn rotate<U: AsRef<str>>(
        dir: &Path,
        hostowner: &str,
        users: &[U],
        which: Which<'_>,
    ) -> Result<Vec<String>, SecretsError> {
        let path = dir.join(FILE);
        let failed = |source| SecretsError::Write { path: path.clone(), source };
        let _lock = lock(dir).map_err(failed)?;
        let old = Found::read(&path)?.ok_or_else(|| SecretsError::NoneYet { path: path.clone() })?;
        if let Some(target) = old.linked {
            let what = "new secrets would replace the link, and the file that it leads to would still have the old \
                        ones; change them there, or make `secrets.toml` a file of the lab"
                .to_owned();
            return Err(SecretsError::Linked { path, target, what });
        }
        let users: Vec<&str> = users.iter().map(AsRef::as_ref).filter(|u| *u != hostowner).collect();
        let mut full = old.clone();
        full.fill(&users)?;
        let mut changed = Vec::new();
        if matches!(which, Which::All) {
            let mut seed = [0; 32];
            draw(&mut seed)?;
            full.seed = Some(seed);
            changed.push("seed".to_owned());
        }
        if which.has(hostowner) {
            full.hostowner = Some(new_password()?);
            changed.push(hostowner.to_owned());
        }
        for (name, password) in full.users.iter_mut().filter(|(name, _)| *name != hostowner && which.has(name)) {
            *password = new_password()?;
            changed.push(name.clone());
        }
        if let Which::Names(names) = which
            && let Some(name) = names.iter().find(|n| !changed.contains(n))
        {
            let known: Vec<&str> = std::iter::once(hostowner)
                .chain(full.users.keys().map(String::as_str).filter(|u| *u != hostowner))
                .collect();
            return Err(SecretsError::NoSuchName { name: name.clone(), known: known.join(", ") });
        }
        let edited = old.with_values_of(&full);
        let edited = Found::parse(&path, &edited).map_or_else(|_| full.text(), |found| found.with_lines_of(&full));
        let same = Found::parse(&path, &edited).is_ok_and(|read| read.values() == full.values());
        write(dir, &path, &if same { edited } else { full.text() }, true).map_err(failed)?;
        Ok(changed)
    }
}

impl Which<'_> {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.iter().any(|n| n == name),
        }
    }
}

impl Found {
    /// This file with the values of `full` in place of its own.
    fn with_values_of(&self, full: &Self) -> String {
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        if let (Some(at), Some(seed)) = (&self.places.seed, full.seed.filter(|_| full.seed != self.seed)) {
            edits.push((at.clone(), quoted(&crate::hex::hex(&seed))));
        }
        if let (Some(at), Some(password)) = (&self.places.hostowner, &full.hostowner)
            && full.hostowner != self.hostowner
        {
            edits.push((at.clone(), quoted(password)));
        }
        for (name, at) in &self.places.users {
            if let Some(password) = full.users.get(name).filter(|p| self.users.get(name) != Some(p)) {
                edits.push((at.clone(), quoted(password)));
            }
        }
        // From the end, so that the earlier places stay right.
        edits.sort_by_key(|(at, _)| std::cmp::Reverse(at.start));
        let mut text = self.source.clone();
        for (at, value) in edits {
            if text.get(at.clone()).is_some() {
                text.replace_range(at, &value);
            }
        }
        text
    }
}
