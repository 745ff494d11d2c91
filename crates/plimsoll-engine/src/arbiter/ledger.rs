//! What has been granted so far, and what is left of each budget and each node.

use super::{
    Amount, Cause, Consumption, Demand, Obstacle, Placement, Resources, Situation, account::Account,
    nodes::Nodes,
};

/// The state of an arbitration.
#[derive(Clone)]
pub(super) struct Ledger<'a> {
    situation: &'a Situation,
    accounts: Vec<Account>,
    nodes: Nodes<'a>,
    holdings: Vec<Holding>,
}

/// What one demand has.
#[derive(Clone, Default)]
struct Holding {
    granted: i32,
    /// Nodes of the replicas that have no pod yet.
    placed: Vec<usize>,
    /// Running replicas for which no node has room.
    unplaced: i32,
    /// Why the grant can't rise.
    frozen: Option<Cause>,
    /// What prevented a higher grant.
    obstacle: Option<Obstacle>,
    /// Dominant share of one replica.
    share: f64,
}

impl<'a> Ledger<'a> {
    /// All budgets and nodes with what runs.
    pub fn new(situation: &'a Situation) -> Self {
        let accounts = situation.budgets.iter().map(Account::new).collect();
        let nodes = Nodes::new(&situation.nodes, &situation.pools);
        let holdings =
            situation.demands.iter().map(|demand| Holding::new(situation, &nodes, demand)).collect();
        let mut ledger = Self { situation, accounts, nodes, holdings };
        // All pods before the first replica without a pod: a node has room only without them. The largest replicas first.
        let mut positions: Vec<usize> = (0..situation.demands.len()).collect();
        positions.iter().for_each(|position| ledger.occupy(*position));
        positions.sort_by(|one, other| ledger.share(*other).total_cmp(&ledger.share(*one)));
        positions.iter().for_each(|position| ledger.keep_running(*position));
        ledger
    }

    pub fn situation(&self) -> &'a Situation {
        self.situation
    }

    pub fn demand(&self, position: usize) -> Option<&'a Demand> {
        self.situation.demands.get(position)
    }

    fn holding(&self, position: usize) -> Option<&Holding> {
        self.holdings.get(position)
    }

    /// Replicas granted so far.
    pub fn granted(&self, position: usize) -> i32 {
        self.holding(position).map_or(0, |holding| holding.granted)
    }

    /// Granted replicas that no node has room for: they run only in the target's `spec.replicas`.
    pub fn unplaced(&self, position: usize) -> i32 {
        self.holding(position).map_or(0, |holding| holding.unplaced)
    }

    /// Dominant share of one replica.
    pub fn share(&self, position: usize) -> f64 {
        self.holding(position).map_or(0.0, |holding| holding.share)
    }

    /// What prevented a higher grant.
    pub fn obstacle(&self, position: usize) -> Option<Obstacle> {
        self.holding(position)?.obstacle
    }

    /// Notes what prevents a higher grant; the last cause counts.
    pub fn limited(&mut self, position: usize, obstacle: Obstacle) {
        if let Some(holding) = self.holdings.get_mut(position) {
            holding.obstacle = Some(obstacle);
        }
    }

    /// Number of replicas of one shape that still fit on the nodes of a pool.
    pub fn room(&self, pool: usize, shape: Resources) -> i32 {
        self.nodes.room(pool, shape)
    }

    fn occupy(&mut self, position: usize) {
        if let Some(placement) = self.demand(position).and_then(|demand| demand.placement.as_ref()) {
            placement.pods.iter().for_each(|node| self.nodes.occupy(*node, placement.shape));
        }
    }

    /// Grants the replicas that run, whatever is left, and charges all pods that exist.
    fn keep_running(&mut self, position: usize) {
        let Self { situation, accounts, nodes, holdings } = self;
        let (Some(demand), Some(holding)) = (situation.demands.get(position), holdings.get_mut(position))
        else {
            return;
        };
        let replicas = demand.running.min(demand.wanted).max(0);
        for consumption in &demand.consumes {
            if let Some(account) = accounts.get_mut(consumption.budget) {
                account.charge(consumption.entry, Amount::ZERO, consumption.charge(replicas));
            }
        }
        if let Some(placement) = &demand.placement {
            for _ in count(&placement.pods)..replicas {
                match nodes.place(placement.pool, placement.shape) {
                    Some(node) => holding.placed.push(node),
                    None => holding.unplaced += 1,
                }
            }
        }
        holding.granted = replicas;
    }

    /// Raises the grants of all members of a unit, or none. If the nodes have enough room, but not on one node, replicas that
    /// have no pod yet are placed anew.
    pub fn raise_all(&mut self, unit: &[(usize, i32)]) -> Result<(), Obstacle> {
        match self.attempt(unit) {
            Err(Obstacle { cause: Cause::Nodes, .. }) if self.repack(unit) => {
                let result = self.attempt(unit);
                self.nodes.forget_plan();
                result
            }
            result => result,
        }
    }

    fn attempt(&mut self, unit: &[(usize, i32)]) -> Result<(), Obstacle> {
        let mut raised = Vec::with_capacity(unit.len());
        for (position, target) in unit {
            let before = self.granted(*position);
            if *target <= before {
                continue;
            }
            if let Err(cause) = self.raise(*position, *target) {
                raised.iter().rev().for_each(|(position, before)| self.lower(*position, *before));
                return Err(Obstacle { cause, of: *position });
            }
            raised.push((*position, before));
        }
        Ok(())
    }

    /// Which budget does not allow this number of replicas. It does not say whether nodes have room.
    pub fn refusal(&self, position: usize, to: i32) -> Option<Cause> {
        let (demand, holding) = (self.demand(position)?, self.holding(position)?);
        let of_budget = |consumption: &Consumption| {
            let account = self.accounts.get(consumption.budget)?;
            let charge = |replicas| consumption.charge(replicas);
            account.refusal(consumption, charge(holding.granted), charge(to))
        };
        holding.frozen.or_else(|| demand.consumes.iter().find_map(of_budget))
    }

    /// Raises one grant, or changes nothing.
    fn raise(&mut self, position: usize, to: i32) -> Result<(), Cause> {
        if let Some(cause) = self.refusal(position, to) {
            return Err(cause);
        }
        let Self { situation, accounts, nodes, holdings } = self;
        let (Some(demand), Some(holding)) = (situation.demands.get(position), holdings.get_mut(position))
        else {
            return Ok(());
        };
        if let Some(Placement { pool, shape, pods }) = &demand.placement {
            let placed = holding.placed.len();
            // A replica that has a pod has its room.
            for _ in holding.granted.max(count(pods))..to {
                let Some(node) = nodes.place(*pool, *shape) else {
                    holding.placed.drain(placed..).for_each(|node| nodes.vacate(node, *shape));
                    return Err(Cause::Nodes);
                };
                holding.placed.push(node);
            }
        }
        holding.charge(demand, to, accounts);
        Ok(())
    }

    /// Takes back a grant that `raise` gave.
    pub fn lower(&mut self, position: usize, to: i32) {
        let Self { situation, accounts, nodes, holdings } = self;
        let (Some(demand), Some(holding)) = (situation.demands.get(position), holdings.get_mut(position))
        else {
            return;
        };
        if let Some(placement) = &demand.placement {
            let standing = count(&placement.pods);
            for _ in to.max(standing)..holding.granted {
                holding.placed.pop().into_iter().for_each(|node| nodes.vacate(node, placement.shape));
            }
        }
        holding.charge(demand, to, accounts);
    }

    /// Whether all replicas without a pod and those of the unit fit on the nodes if they are placed anew.
    fn repack(&mut self, unit: &[(usize, i32)]) -> bool {
        let Self { situation, nodes, holdings, .. } = self;
        let placement = |position: usize| situation.demands.get(position)?.placement.as_ref();
        let new_of = |(position, target): &(usize, i32)| {
            let (Some(placement), Some(holding)) = (placement(*position), holdings.get(*position)) else {
                return Vec::new();
            };
            let standing = count(&placement.pods);
            let new = target.saturating_sub(holding.granted.max(standing)).max(0);
            vec![(placement.pool, placement.shape); usize::try_from(new).unwrap_or_default()]
        };
        let new: Vec<(usize, Resources)> = unit.iter().flat_map(new_of).collect();
        if !nodes.can_repack(new.len()) {
            return false;
        }
        nodes.worked(holdings.len());
        let placed = holdings.iter().enumerate().filter_map(|(at, holding)| Some((placement(at)?, holding)));
        let placed =
            placed.flat_map(|(of, holding)| holding.placed.iter().map(|node| (of.pool, of.shape, *node)));
        let placed: Vec<(usize, Resources, usize)> = placed.collect();
        let Some(anew) = nodes.repack(&placed, &new) else { return false };
        holdings
            .iter_mut()
            .flat_map(|holding| &mut holding.placed)
            .zip(anew)
            .for_each(|(old, new)| *old = new);
        true
    }

    /// Takes over the state of a copy if it is better, and otherwise only counts the work that was done on it.
    pub fn adopt_if(&mut self, is_better: bool, copy: Self) {
        if is_better { *self = copy } else { self.nodes.worked_like(&copy.nodes) }
    }

    /// The budgets that would not allow one more replica of a demand.
    pub fn exhausted(&self, position: usize) -> impl Iterator<Item = usize> {
        let pair = self.demand(position).zip(self.holding(position));
        let consumes = pair.map(|(demand, holding)| (demand.consumes.as_slice(), holding.granted));
        let (consumes, granted) = consumes.unwrap_or_default();
        consumes.iter().filter_map(move |one| {
            let account = self.accounts.get(one.budget)?;
            let refusal = account.refusal(one, one.charge(granted), one.charge(granted.saturating_add(1)))?;
            matches!(refusal, Cause::Budget { .. } | Cause::Guaranteed { .. }).then_some(one.budget)
        })
    }
}

impl Holding {
    /// Changes the grant and what the budgets are charged for it.
    fn charge(&mut self, demand: &Demand, to: i32, accounts: &mut [Account]) {
        for consumption in &demand.consumes {
            let charge = |replicas| consumption.charge(replicas);
            if let Some(account) = accounts.get_mut(consumption.budget) {
                account.charge(consumption.entry, charge(self.granted), charge(to));
            }
        }
        self.granted = to;
    }

    fn new(situation: &Situation, nodes: &Nodes<'_>, demand: &Demand) -> Self {
        let budgets =
            || demand.consumes.iter().filter_map(|one| Some((one, situation.budgets.get(one.budget)?)));
        let frozen = budgets().find_map(|(consumption, budget)| {
            let Consumption { budget: position, entry, .. } = *consumption;
            match (budget.limit.is_some() && budget.others.is_some(), entry) {
                (false, _) => Some(Cause::Unknown { budget: position }),
                (true, None) => Some(Cause::NotAdmitted { budget: position }),
                (true, Some(_)) => None,
            }
        });
        let of_budgets = budgets().filter_map(|(one, budget)| Some(one.per_replica.share_of(budget.limit?)));
        let of_nodes = demand.placement.iter().map(|placement| placement.shape.dominant_share(nodes.total()));
        let share = of_budgets.chain(of_nodes).fold(0.0, f64::max);
        Self { frozen, share, ..Self::default() }
    }
}

fn count(pods: &[usize]) -> i32 {
    i32::try_from(pods.len()).unwrap_or(i32::MAX)
}
