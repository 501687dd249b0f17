//! What can be read of a world as it stands: cells, intents, instances, budgets. Changes nothing.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use aos_air::cbor::{Problem, Reader};
use aos_air::def;

use crate::blobs::Blobs;
use crate::error::Fault;
use crate::gate::Budget;
use crate::id::{InstanceId, IntentId};
use crate::intent::Intent;
use crate::plan::Header;
use crate::state::{self, Cell, Counts};
use crate::world::{World, next_deadline};

/// What was spent of a grant's budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetView {
    /// The grant's name.
    pub grant: String,
    /// Its limits, where the manifest in force has the grant and it has any.
    pub limit: Option<def::Budget>,
    /// What is spent and what is held.
    pub budget: Budget,
}

/// A running plan instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// Its number.
    pub id: InstanceId,
    /// Its plan.
    pub plan: String,
}

/// One cell, for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellView {
    /// The reducer.
    pub reducer: String,
    /// The key in canonical CBOR; none for a reducer without keys.
    pub key: Option<Vec<u8>>,
    /// The state in canonical CBOR.
    pub state: Vec<u8>,
}

impl World {
    /// Reads the state of a reducer, or of one of its keys, as of the last applied frame.
    ///
    /// # Errors
    /// A [`Fault`] where state cannot be read.
    pub fn cell(&self, blobs: &dyn Blobs, reducer: &str, key: Option<&[u8]>) -> Result<Option<CellView>, Fault> {
        let cell_key = state::cell_key(&state::cells_prefix(reducer), reducer, key);
        self.index.value(blobs, &cell_key)?.map(|record| view(&record)).transpose()
    }

    /// Reads up to `limit` cells of a reducer, in the order of the state index, which is that of no key.
    ///
    /// # Errors
    /// A [`Fault`] where state cannot be read.
    pub fn cells(&self, blobs: &dyn Blobs, reducer: &str, limit: usize) -> Result<Vec<CellView>, Fault> {
        let mut cells = Vec::new();
        let mut wrong = None;
        self.index.scan(blobs, &state::cells_prefix(reducer), &mut |_, record| {
            match view(record) {
                Ok(cell) if cell.reducer == reducer => cells.push(cell),
                Ok(_) => {}
                Err(fault) => wrong = Some(fault),
            }
            wrong.is_none() && cells.len() < limit
        })?;
        wrong.map_or(Ok(cells), Err)
    }

    /// Reads every record of the state, so that a node of it that is missing or damaged is found, and counts what the
    /// ledger has counted.
    ///
    /// # Errors
    /// A [`Fault`] that names the first one, or that the counts differ.
    pub fn check_state(&self, blobs: &dyn Blobs) -> Result<(), Fault> {
        let mut counts = Counts::default();
        self.index.scan(blobs, &[], &mut |key, _| {
            counts.add(key);
            true
        })?;
        if counts == Counts::of(&self.ledger) { Ok(()) } else { Err(Fault::Record(Reader::error(0, Problem::Range))) }
    }

    /// Finds an intent that has not ended.
    ///
    /// # Errors
    /// A [`Fault`] where state cannot be read.
    pub fn intent(&self, blobs: &dyn Blobs, id: IntentId) -> Result<Option<Intent>, Fault> {
        let record = self.index.value(blobs, &state::intent_key(id))?;
        record.map(|record| Intent::decode(&record).map_err(Fault::Record)).transpose()
    }

    /// Reads all intents that have not ended, in the order in which they were asked for.
    ///
    /// # Errors
    /// A [`Fault`] where state cannot be read.
    pub fn intents(&self, blobs: &dyn Blobs) -> Result<Vec<Intent>, Fault> {
        let mut intents =
            self.records(blobs, &state::intents_prefix(), |_, record| Intent::decode(record).map_err(Fault::Record))?;
        intents.sort_by_key(|intent| (intent.height, intent.ordinal));
        Ok(intents)
    }

    /// Reads the running plan instances, in the order in which they started.
    ///
    /// # Errors
    /// A [`Fault`] where state cannot be read.
    pub fn instances(&self, blobs: &dyn Blobs) -> Result<Vec<InstanceView>, Fault> {
        self.records(blobs, &state::instances_prefix(), |key, record| {
            let id = state::instance_of_key(key);
            let header = Header::decode(record).map_err(Fault::Record)?;
            Ok(InstanceView { id, plan: header.plan })
        })
    }

    /// Reads what was spent of every grant that ever spent anything, in no order.
    ///
    /// # Errors
    /// A [`Fault`] where state cannot be read.
    pub fn budgets(&self, blobs: &dyn Blobs) -> Result<Vec<BudgetView>, Fault> {
        self.records(blobs, &state::budgets_prefix(), |_, record| {
            let (grant, budget) = state::decode_budget(record).map_err(Fault::Record)?;
            let limit = self.program.grant(&grant).and_then(|known| known.definition.budget);
            Ok(BudgetView { grant, limit, budget })
        })
    }

    /// Reads what was spent of one grant; nothing where it never spent anything.
    ///
    /// # Errors
    /// A [`Fault`] where state cannot be read.
    pub fn budget(&self, blobs: &dyn Blobs, grant: &str) -> Result<Budget, Fault> {
        state::budget_of(self.index.value(blobs, &state::budget_key(grant))?.as_deref())
    }

    /// Returns the logical time at which the next tick is due, if one is.
    ///
    /// # Errors
    /// A [`Fault`] where state cannot be read.
    pub fn next_due_ns(&self, blobs: &dyn Blobs) -> Result<Option<u64>, Fault> {
        Ok(next_deadline(&self.index, blobs)?.map(|deadline| deadline.due_ns))
    }

    /// Returns how many manifests came into force after the first: what a principal's signature names.
    pub const fn manifest_seq(&self) -> u64 {
        self.ledger.manifest_seq
    }

    fn records<T>(
        &self,
        blobs: &dyn Blobs,
        prefix: &[u8],
        read: impl Fn(&[u8], &[u8]) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let (mut all, mut wrong) = (Vec::new(), None);
        self.index.scan(blobs, prefix, &mut |key, record| {
            match read(key, record) {
                Ok(one) => all.push(one),
                Err(fault) => wrong = Some(fault),
            }
            wrong.is_none()
        })?;
        wrong.map_or(Ok(all), Err)
    }
}

fn view(record: &[u8]) -> Result<CellView, Fault> {
    let cell = Cell::decode(record).map_err(Fault::Record)?;
    Ok(CellView { reducer: cell.reducer.to_string(), key: cell.key.map(Into::into), state: cell.state.to_vec() })
}
