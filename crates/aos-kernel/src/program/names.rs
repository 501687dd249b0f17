//! The small numbers by which frames name schemas and actors: positions in the manifest in force.

use alloc::string::String;

use super::Program;
use crate::frame::Names;

fn number(position: Option<usize>) -> Option<u64> {
    position.and_then(|position| u64::try_from(position).ok())
}

fn at<T>(list: &[T], index: u64) -> Option<&T> {
    usize::try_from(index).ok().and_then(|index| list.get(index))
}

impl Names for Program {
    fn schema_index(&self, name: &str) -> Option<u64> {
        number(self.schema_by_name.get(name).copied())
    }

    fn schema_at(&self, index: u64) -> Option<&str> {
        at(&self.schemas, index).map(|schema| schema.name.as_str())
    }

    fn principal_index(&self, name: &str) -> Option<u64> {
        number(self.principals.iter().position(|principal| principal.name == name))
    }

    fn principal_at(&self, index: u64) -> Option<&str> {
        at(&self.principals, index).map(|principal| principal.name.as_str())
    }

    fn adapter_index(&self, name: &str) -> Option<u64> {
        number(self.adapters.iter().position(|adapter| adapter == name))
    }

    fn adapter_at(&self, index: u64) -> Option<&str> {
        at(&self.adapters, index).map(String::as_str)
    }

    fn inbox_index(&self, source: &str) -> Option<u64> {
        number(self.inboxes.iter().position(|inbox| inbox.source == source))
    }

    fn inbox_at(&self, index: u64) -> Option<&str> {
        at(&self.inboxes, index).map(|inbox| inbox.source.as_str())
    }
}
