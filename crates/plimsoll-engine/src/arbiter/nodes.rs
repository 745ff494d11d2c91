//! Nodes: which replicas fit on one of them, not on their sum.

use std::collections::BTreeMap;

use super::{Amount, Node, Resources};

/// Most replicas that are placed anew to make room for one unit.
const REPACKED_MAX: usize = 500;
/// Most visits of nodes and demands by all attempts of one arbitration to place replicas anew: about ten milliseconds.
const REPACK_WORK: usize = 500_000;

impl Resources {
    pub(super) fn fits(self, free: Self) -> bool {
        self.cpu <= free.cpu && self.memory <= free.memory && self.pods <= free.pods
    }

    fn plus(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, memory: self.memory + other.memory, pods: self.pods + other.pods }
    }

    fn minus(self, other: Self) -> Self {
        // What has no limit stays without one.
        let left = |own: Amount, other| if own == Amount::MAX { own } else { own.minus(other) };
        Self {
            cpu: left(self.cpu, other.cpu),
            memory: left(self.memory, other.memory),
            pods: left(self.pods, other.pods),
        }
    }

    /// The largest part that this is of `whole`, of the resources that are limited.
    pub(super) fn dominant_share(self, whole: Self) -> f64 {
        let pairs = [(self.cpu, whole.cpu), (self.memory, whole.memory), (self.pods, whole.pods)];
        let limited = pairs.into_iter().filter(|(_, whole)| *whole < Amount::MAX);
        limited.map(|(own, whole)| own.share_of(whole)).fold(0.0, f64::max)
    }
}

/// The nodes while replicas are placed.
#[derive(Clone)]
pub(super) struct Nodes<'a> {
    free: Vec<Resources>,
    pools: &'a [Vec<usize>],
    /// Everything that was free at the start.
    total: Resources,
    /// Number of replicas that `place` has placed.
    placed: usize,
    /// For each pool and shape, the first entry of the pool that might have room: those before it have none.
    cursors: BTreeMap<(usize, Resources), usize>,
    /// Nodes for the next replicas, found by an attempt to place all replicas anew.
    planned: Vec<(usize, Resources, usize)>,
    work: usize,
}

impl<'a> Nodes<'a> {
    pub fn new(nodes: &[Node], pools: &'a [Vec<usize>]) -> Self {
        let free: Vec<Resources> = nodes.iter().map(|node| node.free).collect();
        let total = free.iter().fold(Resources::default(), |sum, free| sum.plus(*free));
        Self { free, pools, total, placed: 0, cursors: BTreeMap::new(), planned: Vec::new(), work: 0 }
    }

    /// Everything that was free at the start.
    pub fn total(&self) -> Resources {
        self.total
    }

    fn pool(&self, pool: usize) -> &'a [usize] {
        self.pools.get(pool).map_or(&[], Vec::as_slice)
    }

    fn free(&self, node: usize) -> Resources {
        self.free.get(node).copied().unwrap_or_default()
    }

    /// Takes room for a replica that exists on a node; not more than the node has.
    pub fn occupy(&mut self, node: usize, shape: Resources) {
        if let Some(free) = self.free.get_mut(node) {
            *free = free.minus(shape);
        }
    }

    /// Takes room for a new replica on the first node of a pool that has it.
    pub fn place(&mut self, pool: usize, shape: Resources) -> Option<usize> {
        if let Some(at) = self.planned.iter().position(|(of, planned, _)| (*of, *planned) == (pool, shape)) {
            let (_, _, node) = self.planned.swap_remove(at);
            return Some(self.take(node, shape));
        }
        let members = self.pool(pool);
        let cursor = self.cursors.get(&(pool, shape)).copied().unwrap_or_default();
        let rest = members.get(cursor..).unwrap_or_default();
        let offset = rest.iter().position(|node| shape.fits(self.free(*node)));
        let next = offset.map_or(members.len(), |offset| cursor + offset);
        self.cursors.insert((pool, shape), next);
        members.get(next).map(|node| self.take(*node, shape))
    }

    fn take(&mut self, node: usize, shape: Resources) -> usize {
        self.occupy(node, shape);
        self.placed += 1;
        node
    }

    /// Returns the room of a replica that was placed.
    pub fn vacate(&mut self, node: usize, shape: Resources) {
        self.placed = self.placed.saturating_sub(1);
        if let Some(free) = self.free.get_mut(node) {
            *free = free.plus(shape);
        }
        for ((pool, _), cursor) in &mut self.cursors {
            let members = self.pools.get(*pool).map_or(&[][..], Vec::as_slice);
            // The first member that is not before this node.
            *cursor = members.partition_point(|member| *member < node).min(*cursor);
        }
    }

    /// Number of replicas of a shape that still fit, node by node.
    pub fn room(&self, pool: usize, shape: Resources) -> i32 {
        let on_node = |node: &usize| {
            let free = self.free(*node);
            let counts = [(free.cpu, shape.cpu), (free.memory, shape.memory), (free.pods, shape.pods)];
            counts.into_iter().map(|(free, each)| free.divided_by(each)).fold(i32::MAX, i32::min)
        };
        self.pool(pool).iter().map(on_node).fold(0, i32::saturating_add)
    }

    /// Whether few enough replicas are placed for an attempt to place all of them and `new` anew, and enough work is left for it.
    pub fn can_repack(&self, new: usize) -> bool {
        self.placed + new <= REPACKED_MAX && self.work < REPACK_WORK
    }

    /// Counts work of an attempt.
    pub fn worked(&mut self, visits: usize) {
        self.work += visits;
    }

    /// Counts the work of an attempt that was made on a copy.
    pub fn worked_like(&mut self, copy: &Self) {
        self.work = self.work.max(copy.work);
    }

    /// Places `placed` (pool, shape and node of each) and the `new` replicas anew, the largest first, each on the node where
    /// it leaves the least. Returns the new nodes of `placed` if there is room for all; then the next calls of `place` use the
    /// room for `new`. Changes nothing otherwise.
    pub fn repack(
        &mut self,
        placed: &[(usize, Resources, usize)],
        new: &[(usize, Resources)],
    ) -> Option<Vec<usize>> {
        self.work += self.free.len();
        let free = self.free.iter().fold(Resources::default(), |sum, free| sum.plus(*free));
        let needed = new.iter().fold(Resources::default(), |sum, (_, shape)| sum.plus(*shape));
        if !needed.fits(free) {
            return None;
        }
        self.work += (placed.len() + new.len()) * self.free.len();
        let mut free = self.free.clone();
        for (_, shape, node) in placed {
            free.get_mut(*node).into_iter().for_each(|free| *free = free.plus(*shape));
        }
        let items = placed.iter().map(|(pool, shape, _)| (*pool, *shape)).chain(new.iter().copied());
        let mut anew = self.best_fit_decreasing(items.collect(), &mut free)?;
        let planned = anew.split_off(placed.len());
        // `place` takes the room of new replicas later.
        for ((_, shape), node) in new.iter().zip(&planned) {
            free.get_mut(*node).into_iter().for_each(|free| *free = free.plus(*shape));
        }
        self.planned = new.iter().zip(planned).map(|((pool, shape), node)| (*pool, *shape, node)).collect();
        self.free = free;
        self.cursors.clear();
        Some(anew)
    }

    /// The node of each item, in the order of the items.
    fn best_fit_decreasing(
        &self,
        items: Vec<(usize, Resources)>,
        free: &mut [Resources],
    ) -> Option<Vec<usize>> {
        let share = |amounts: &Resources| amounts.dominant_share(self.total);
        let mut nodes = vec![0; items.len()];
        let mut items: Vec<(usize, (usize, Resources))> = items.into_iter().enumerate().collect();
        items.sort_by(|(_, (_, one)), (_, (_, other))| {
            share(other).total_cmp(&share(one)).then_with(|| other.cmp(one))
        });
        for (item, (pool, shape)) in items {
            let members = self.pool(pool).iter().filter_map(|node| Some((*node, free.get(*node)?)));
            let fitting = members.filter(|(_, free)| shape.fits(**free));
            let (node, _) = fitting.min_by(|(_, one), (_, other)| share(one).total_cmp(&share(other)))?;
            free.get_mut(node).into_iter().for_each(|free| *free = free.minus(shape));
            nodes.get_mut(item).into_iter().for_each(|slot| *slot = node);
        }
        Some(nodes)
    }

    /// Forgets the nodes planned by `repack` that were not used.
    pub fn forget_plan(&mut self) {
        self.planned.clear();
    }
}
