//! The demos: folders `NN-slug` with a world's `air/`, its `reducer/`, its `events.json`, and a README that says what it shows.

use std::fs;
use std::path::{Path, PathBuf};

use aos_air::diag;

use crate::error::RunError;

/// A rung of the ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demo {
    /// Its place on the ladder.
    pub number: u32,
    /// Its short name.
    pub slug: String,
    /// What it shows, in one line: the first line of its README after the title.
    pub summary: String,
    /// Its folder.
    pub folder: PathBuf,
}

/// Finds the demos in a folder, in the order of their numbers.
pub fn find(examples: &Path) -> Result<Vec<Demo>, RunError> {
    let unreadable = |source| RunError::Io { path: examples.into(), source };
    let mut demos = Vec::new();
    for entry in fs::read_dir(examples).map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?.path();
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((number, slug)) = name.split_once('-') else { continue };
        let (Ok(number), true) = (number.parse(), folder.is_dir()) else { continue };
        let slug = slug.to_owned();
        demos.push(Demo { number, slug, summary: summary(&folder)?, folder });
    }
    demos.sort_by_key(|demo| demo.number);
    Ok(demos)
}

fn summary(folder: &Path) -> Result<String, RunError> {
    let path = folder.join("README.md");
    let text = fs::read_to_string(&path).map_err(|source| RunError::Io { path, source })?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(line.unwrap_or_default().to_owned())
}

/// Finds a demo by its slug or number.
pub fn choose<'a>(demos: &'a [Demo], word: &str) -> Result<&'a Demo, RunError> {
    let number = word.parse::<u32>().ok();
    let found = demos.iter().find(|demo| demo.slug == word || Some(demo.number) == number);
    found.ok_or_else(|| RunError::DemoUnknown {
        word: word.to_owned(),
        nearest: nearest(demos, word).map(str::to_owned),
    })
}

/// Returns the slug that is spelled almost so, else the first that has the word in it.
fn nearest<'a>(demos: &'a [Demo], word: &str) -> Option<&'a str> {
    let slugs = || demos.iter().map(|demo| demo.slug.as_str());
    diag::nearest(word, slugs()).or_else(|| slugs().find(|slug| slug.contains(word)))
}
