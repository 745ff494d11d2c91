//! The steps of `up`: create a cluster, or change the running one.

use super::{
    Archive, Cluster, Component, Options, Record, addons, network, node::Node, pki, preflight,
    progress::step, teardown,
};
use crate::prelude::*;

impl Cluster {
    pub(super) fn create(&self, options: &Options) -> Result<()> {
        if teardown::is_needed(&self.state)? {
            step("remains of a dead cluster", || teardown::all(&self.state))?;
        }
        network::refuse_foreign_rules()?;
        self.state.create()?;
        step("certificates and tokens", || pki::create(&self.state))?;
        step("network", || network::create(&self.state))?;
        preflight::check_ports()?;
        step("etcd", || self.start(Component::Etcd))?;
        // It starts while the images are unpacked.
        self.api_server.start()?;
        step("container runtimes", || self.nodes.iter().try_for_each(prepare_and_start_runtime))?;
        step("images", || addons::load_images(self))?;
        step("API server", || self.start(Component::ApiServer))?;
        self.start_the_rest()?;
        step("manifests", || addons::apply(self, options.scrape_interval))?;
        step("nodes", || self.wait_for_nodes())?;
        step("CoreDNS and Prometheus", || addons::wait(self))
    }

    pub(super) fn adjust(&self, before: &Record, options: &Options) -> Result<()> {
        self.start(Component::Etcd)?;
        self.start(Component::ApiServer)?;
        for number in options.nodes + 1..=before.nodes {
            step(&format!("removal of node {number}"), || self.remove_node(number))?;
        }
        for number in before.nodes + 1..=options.nodes {
            // Remains of an interrupted addition would be in the way.
            teardown::node(&self.state, number)?;
            step(&format!("runtime of node {number}"), || self.add_node(number))?;
        }
        self.nodes.iter().try_for_each(Node::start_containerd)?;
        addons::load_images(self)?;
        self.start_the_rest()?;
        addons::apply(self, options.scrape_interval)?;
        step("nodes", || self.wait_for_nodes())?;
        step("CoreDNS and Prometheus", || addons::wait(self))
    }

    fn start_the_rest(&self) -> Result<()> {
        self.controller_manager.start()?;
        self.scheduler.start()?;
        self.nodes.iter().try_for_each(Node::start)
    }

    fn add_node(&self, number: u8) -> Result<()> {
        let node = self.node(number)?;
        prepare_and_start_runtime(node)?;
        for record in fs::read_dir(self.images_folder()?)? {
            let archive: Archive = serde_json::from_str(&fs::read_to_string(record?.path())?)?;
            // An image that was rebuilt since is loaded by the run that built it.
            if archive.path.is_file() {
                import(node, &archive)?;
            }
        }
        Ok(())
    }

    fn remove_node(&self, number: u8) -> Result<()> {
        let name = network::node_name(number);
        self.kubectl(&["delete", "node", &name, "--ignore-not-found"])?;
        teardown::node(&self.state, number)?;
        // The kubelet may have registered again before it was killed.
        self.kubectl(&["delete", "node", &name, "--ignore-not-found"]).map(drop)
    }
}

fn prepare_and_start_runtime(node: &Node) -> Result<()> {
    node.prepare()?;
    node.start_containerd()
}

/// Imports an archive into a node's runtime, unless it has the image with this name and content.
pub(super) fn import(node: &Node, archive: &Archive) -> Result<()> {
    let listed = node.ctr(&["images", "list", &format!("name=={}", archive.name)])?;
    if !listed.contains(&archive.digest) {
        node.ctr(&["images", "import", &archive.path.display().to_string()])?;
    }
    Ok(())
}
