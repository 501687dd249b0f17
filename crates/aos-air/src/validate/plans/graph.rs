//! The graph of a plan: its order, and which steps lie before which.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::def::Plan;

/// Returns the steps that can never be ready because they wait for each other, or for such steps.
pub(super) fn behind_circles(plan: &Plan) -> Vec<&str> {
    let mut waits: BTreeMap<&str, usize> = plan.steps.iter().map(|step| (step.id.as_str(), 0)).collect();
    let mut after: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for edge in &plan.edges {
        if waits.contains_key(edge.from.as_str())
            && let Some(count) = waits.get_mut(edge.to.as_str())
        {
            *count += 1;
        }
        after.entry(&edge.from).or_default().push(&edge.to);
    }
    let mut ready: Vec<&str> = waits.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    while let Some(id) = ready.pop() {
        waits.remove(id);
        for next in after.get(id).into_iter().flatten() {
            if let Some(count) = waits.get_mut(next) {
                *count -= 1;
                if *count == 0 {
                    ready.push(next);
                }
            }
        }
    }
    waits.into_keys().collect()
}

/// A plan's graph, which is sound: each step has one id, each edge joins two of them, and there is no circle.
pub(super) struct Graph<'p> {
    /// The ids in order; everything else counts by their places here.
    pub ids: Vec<&'p str>,
    /// For each step its edges: the step before, and the edge's place in the plan.
    pub incoming: Vec<Vec<(usize, usize)>>,
    /// For each step the steps after it, in order.
    pub outgoing: Vec<Vec<usize>>,
    /// The steps, each after those that lead to it, and of what that leaves open the first by id.
    pub order: Vec<usize>,
    /// For each step the steps from which a way leads to it.
    before: Vec<Vec<u64>>,
}

impl<'p> Graph<'p> {
    /// Builds the graph.
    pub fn of(plan: &'p Plan) -> Self {
        let mut ids: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
        ids.sort_unstable();
        let place = |id: &str| ids.binary_search(&id).ok();
        let mut incoming = alloc::vec![Vec::new(); ids.len()];
        let mut outgoing = alloc::vec![Vec::new(); ids.len()];
        for (index, edge) in plan.edges.iter().enumerate() {
            let (Some(from), Some(to)) = (place(&edge.from), place(&edge.to)) else { continue };
            if let (Some(into), Some(out)) = (incoming.get_mut(to), outgoing.get_mut(from)) {
                into.push((from, index));
                out.push(to);
            }
        }
        incoming.iter_mut().for_each(|edges| edges.sort_unstable());
        outgoing.iter_mut().for_each(|steps| steps.sort_unstable());
        let mut graph = Self { ids, incoming, outgoing, order: Vec::new(), before: Vec::new() };
        graph.sort();
        graph
    }

    fn sort(&mut self) {
        let count = self.ids.len();
        let mut waits: Vec<usize> = self.incoming.iter().map(Vec::len).collect();
        let mut ready: BTreeSet<usize> = (0..count).filter(|step| waits.get(*step) == Some(&0)).collect();
        self.before = alloc::vec![alloc::vec![0; count.div_ceil(64)]; count];
        while let Some(step) = ready.pop_first() {
            self.order.push(step);
            let mut reached = self.before.get(step).cloned().unwrap_or_default();
            if let Some(word) = reached.get_mut(step / 64) {
                *word |= 1 << (step % 64);
            }
            for next in self.outgoing.get(step).into_iter().flatten() {
                if let Some(before) = self.before.get_mut(*next) {
                    before.iter_mut().zip(&reached).for_each(|(before, reached)| *before |= reached);
                }
                if let Some(count) = waits.get_mut(*next) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert(*next);
                    }
                }
            }
        }
    }

    /// Finds a step by its id.
    pub fn step(&self, id: &str) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    /// Tells whether a way leads from one step to another.
    pub fn is_before(&self, step: usize, other: usize) -> bool {
        let word = self.before.get(other).and_then(|before| before.get(step / 64));
        word.is_some_and(|word| word >> (step % 64) & 1 == 1)
    }
}
