//! What a rule sees of the repository: paths and texts, and the tokens of Rust files.
//!
//! A tree is a value, read once; tests make small ones from literals. Never here: a rule.

use std::collections::BTreeMap;

use proc_macro2::TokenStream;

use crate::workspace::Workspace;

/// The text files of the repository by path, with `/` on every system.
pub struct Tree {
    files: BTreeMap<String, File>,
}

struct File {
    text: String,
    tokens: Option<TokenStream>,
}

impl Tree {
    /// Reads every file that git has or would take; what is no text is left out.
    pub fn read(workspace: &Workspace) -> Result<Self, String> {
        let mut files = BTreeMap::new();
        for path in &workspace.files {
            let full = workspace.root.join(path);
            // Deleted but not committed yet, or a link to a folder.
            if !full.is_file() {
                continue;
            }
            let bytes = std::fs::read(&full).map_err(|error| format!("cannot read {path}: {error}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.insert(path.clone(), File::new(path, text));
            }
        }
        Ok(Self { files })
    }

    /// Makes a tree for a test.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| ((*path).to_owned(), File::new(path, (*text).to_owned()));
        Self { files: files.iter().map(file).collect() }
    }

    /// All text files in the order of their paths.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file.text.as_str()))
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(|file| file.text.as_str())
    }

    /// All Rust files with their tokens; `None` where they cannot be split into tokens.
    pub fn rust(&self) -> impl Iterator<Item = (&str, Option<&TokenStream>)> {
        let rust = self.files.iter().filter(|(path, _)| path.ends_with(".rs"));
        rust.map(|(path, file)| (path.as_str(), file.tokens.as_ref()))
    }

    /// The tokens of one Rust file.
    pub fn tokens(&self, path: &str) -> Option<&TokenStream> {
        self.files.get(path).and_then(|file| file.tokens.as_ref())
    }
}

impl File {
    fn new(path: &str, text: String) -> Self {
        let tokens = if path.ends_with(".rs") { text.parse().ok() } else { None };
        Self { text, tokens }
    }
}
