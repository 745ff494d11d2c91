//! The input of the arbiter. Budgets, nodes, pools and demands refer to each other by their position in [`Situation`].

use plimsoll_api::Criticality;

use super::Amount;

/// Everything that the arbiter needs to know.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    /// What is finite.
    pub budgets: Vec<Budget>,
    /// All nodes of budgets of nodes.
    pub nodes: Vec<Node>,
    /// Sets of nodes, as ascending positions: a replica must fit on one node of its pool.
    pub pools: Vec<Vec<usize>>,
    /// One for each service, in a fixed order: between equal services, the first one comes first.
    pub demands: Vec<Demand>,
}

/// One finite resource.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    /// Amount that may be in use, without the reserved part; `None` if it is unknown.
    pub limit: Option<Amount>,
    /// Amount in use by others than the demands; `None` if it is unknown.
    pub others: Option<Amount>,
    /// Guaranteed amount of each entry of the consumers.
    pub guaranteed: Vec<Amount>,
    /// Whether its limit is the sum of nodes.
    pub of_nodes: bool,
}

/// Allocatable amounts of a node without the requests of pods of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// What is left for the demands.
    pub free: Resources,
}

/// Amounts of what a node has, or what one replica requests. On a node, a resource without a budget is [`Amount::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resources {
    /// CPUs.
    pub cpu: Amount,
    /// Bytes of memory.
    pub memory: Amount,
    /// Number of pods.
    pub pods: Amount,
}

/// What one service asks for.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Its own criticality; services that depend on it can raise it.
    pub criticality: Criticality,
    /// The highest criticality that counts for it, also if a service that depends on it has a higher one.
    pub most_critical: Option<Criticality>,
    /// Share relative to other services of the same criticality, at least 1.
    pub weight: u32,
    /// Minimum number of replicas.
    pub min: i32,
    /// Wanted replicas, at least `min`.
    pub wanted: i32,
    /// Maximum number of replicas, at least `wanted`.
    pub max: i32,
    /// Current `spec.replicas` of the target.
    pub running: i32,
    /// Positions of the demands that it depends on.
    pub depends_on: Vec<usize>,
    /// What each replica consumes of budgets.
    pub consumes: Vec<Consumption>,
    /// Where its replicas can run; `None` without a budget of nodes.
    pub placement: Option<Placement>,
}

/// Use of one budget by one service.
#[derive(Clone, Debug, Default)]
pub struct Consumption {
    /// Position of the budget.
    pub budget: usize,
    /// Position of the entry of the budget's consumers; `None` if no entry admits the service.
    pub entry: Option<usize>,
    /// Amount for one replica.
    pub per_replica: Amount,
    /// Amount for all pods that exist, with those of a rollout and those that terminate.
    pub in_use: Amount,
    /// Additional replicas that a rollout may create at any time.
    pub surge: Surge,
}

impl Consumption {
    /// Amount that `replicas` can use: the larger of what they and a rollout would use and what the existing pods use.
    pub(super) fn charge(&self, replicas: i32) -> Amount {
        self.per_replica.times(replicas.saturating_add(self.surge.of(replicas))).max(self.in_use)
    }
}

/// `maxSurge` of a Deployment (apps/v1, `RollingUpdateDeployment`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Surge {
    /// No additional pods.
    #[default]
    None,
    /// A fixed number of pods.
    Pods(i32),
    /// Percent of the replicas, rounded up.
    Percent(i32),
}

impl Surge {
    /// Pods that a rollout of `replicas` may create in addition.
    #[must_use]
    pub fn of(self, replicas: i32) -> i32 {
        match self {
            Self::None => 0,
            _ if replicas <= 0 => 0,
            Self::Pods(pods) => pods.max(0),
            Self::Percent(percent) => {
                let hundredths = i64::from(replicas) * i64::from(percent.max(0));
                i32::try_from((hundredths + 99) / 100).unwrap_or(i32::MAX)
            }
        }
    }
}

/// Where the replicas of a service can run.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// Position of the pool.
    pub pool: usize,
    /// Requests of one replica.
    pub shape: Resources,
    /// Positions of the nodes of its pods, once for each pod.
    pub pods: Vec<usize>,
}
