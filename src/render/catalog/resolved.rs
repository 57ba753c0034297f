//! A distribution with the values that it takes from others.

use crate::lab::words::Word as _;
use crate::lab::{Fs, Node};
use crate::render::RenderError;
use crate::render::schema::{Boot, Distribution, Kernel, Listeners, Scope};
use std::collections::BTreeMap;
use toml::Spanned;

/// A distribution with what it is `like` filled in.
pub(in crate::render) struct Resolved<'a> {
    pub name: &'a str,
    /// The distribution's own folder first.
    pub chain: Vec<&'a Distribution>,
}

impl<'a> Resolved<'a> {
    pub(super) fn first<T>(&self, get: impl Fn(&'a Distribution) -> Option<T>) -> Option<T> {
        self.chain.iter().copied().find_map(get)
    }

    pub fn boot(&self) -> Option<&'a Boot> {
        self.first(|d| d.boot.as_ref())
    }

    /// Path of a kernel in the medium; `None` when the distribution has none at all.
    /// `machine` is the node's [`Node::kernel_name`].
    ///
    /// # Errors
    /// Fails when the distribution has kernels, but not this one.
    pub fn kernel(&self, kind: Kernel, machine: &str) -> Result<Option<&'a str>, RenderError> {
        let Some(kernels) = self.first(|d| d.kernel.as_ref()).filter(|k| !k.is_empty()) else {
            return Ok(None);
        };
        let found = kernels
            .get(&kind)
            .and_then(|k| k.iter().find(|(name, _)| name.get_ref() == machine))
            .map(|(_, path)| path.as_str());
        let missing =
            || RenderError::Node(format!("The distribution {} has no {} kernel for {machine}", self.name, kind.name()));
        found.map(Some).ok_or_else(missing)
    }

    /// The template of plan9.ini, by its name in the engine.
    pub fn plan9_ini(&self) -> Option<String> {
        self.first(|d| d.plan9_ini.as_ref().map(|s| format!("templates/{}/{}", d.name, s.get_ref())))
    }

    /// The template of a root's configuration, by its name in the engine.
    pub fn root_config(&self, fs: Fs) -> Option<String> {
        self.first(|d| {
            let (_, source) = d.root_config.iter().find(|(word, _)| word.get_ref() == fs.word())?;
            Some(format!("templates/{}/{}", d.name, source.get_ref()))
        })
    }

    /// Whether a value that is for `only` one distribution is for this.
    pub fn is_for(&self, only: &Option<String>) -> bool {
        only.as_ref().is_none_or(|only| self.chain.iter().any(|d| d.name == *only))
    }

    /// The root file system of `node`.
    ///
    /// # Errors
    /// Fails when the node names a root that the distribution cannot start from.
    pub fn fs(&self, node: &Node) -> Result<Fs, RenderError> {
        let named = self.first(|d| d.fs.as_ref()).into_iter().flatten();
        let known: Vec<Fs> = named.filter_map(|f| f.get_ref().parse().ok()).collect();
        let first = known.first().copied().unwrap_or(Fs::DEFAULT);
        let fs = node.fs.unwrap_or(first);
        if fs != first && !known.contains(&fs) {
            let words: Vec<_> = known.iter().chain(known.is_empty().then_some(&first)).map(|f| f.word()).collect();
            return Err(RenderError::Node(format!(
                "Node {}: {} cannot start from {}, but can from {}",
                node.name,
                self.name,
                fs.word(),
                words.join(", ")
            )));
        }
        Ok(fs)
    }

    pub fn dp9ik(&self) -> bool {
        self.first(|d| d.dp9ik).unwrap_or(false)
    }

    /// The templates of config.txt and of the line in cmdline.txt.
    pub fn pi(&self) -> Option<(String, String)> {
        let name = |d: &Distribution, s: &Spanned<String>| format!("templates/{}/{}", d.name, s.get_ref());
        let config = self.first(|d| d.config_txt.as_ref().map(|s| name(d, s)))?;
        Some((config, self.first(|d| d.cmdline.as_ref().map(|s| name(d, s)))?))
    }

    /// The template of U-Boot's script.
    pub fn boot_script(&self) -> Option<String> {
        self.first(|d| d.boot_script.as_ref().map(|s| format!("templates/{}/{}", d.name, s.get_ref())))
    }

    pub fn slots(&self) -> BTreeMap<&'a str, Scope> {
        let own = self.first(|d| d.slots.as_ref()).into_iter().flatten();
        own.map(|(name, scope)| (name.as_str(), *scope)).collect()
    }

    /// Files that every node needs to start, and the distribution that says so.
    pub fn needs_files(&self) -> (&'a Distribution, &'a [Spanned<String>]) {
        let own = self.chain.iter().copied().find_map(|d| Some((d, d.needs_files.as_deref()?)));
        own.unwrap_or((self.chain[0], &[]))
    }

    pub fn listeners(&self) -> Option<&'a Listeners> {
        self.first(|d| d.listeners.as_ref())
    }
}
