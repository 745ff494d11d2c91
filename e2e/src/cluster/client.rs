//! kubectl and helm, pointed at one cluster.

use crate::{
    prelude::*,
    process::{find_program, finish},
};

#[derive(Debug, Clone)]
pub struct Client {
    kubectl: PathBuf,
    helm: PathBuf,
    /// Without it, kubectl's default applies: `KUBECONFIG`, then `~/.kube/config`.
    kubeconfig: Option<PathBuf>,
    /// Without it, the kubeconfig's current context applies.
    context: Option<String>,
}

impl Client {
    pub(super) fn of_machine(kubectl: PathBuf, helm: PathBuf, kubeconfig: PathBuf) -> Self {
        Self { kubectl, helm, kubeconfig: Some(kubeconfig), context: None }
    }

    /// Any cluster, by its context, with the installed kubectl and helm.
    pub fn of_context(context: &str, kubeconfig: Option<&Path>) -> Result<Self> {
        let installed = |name: &str| {
            find_program(name).with_context(|| format!("{name} is missing: install it, and have it in PATH"))
        };
        let client = Self {
            kubectl: installed("kubectl")?,
            helm: installed("helm")?,
            kubeconfig: kubeconfig.map(Path::to_owned),
            context: Some(context.to_owned()),
        };
        client
            .kubectl(&["version", "--request-timeout=10s"])
            .with_context(|| format!("the cluster of context {context:?} does not answer"))?;
        Ok(client)
    }

    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        finish(self.kubectl_command(args), "")
    }

    pub fn kubectl_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        finish(self.kubectl_command(args), input)
    }

    /// Applies YAML manifests by server-side apply, and returns kubectl's output.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        self.kubectl_with_input(&["apply", "--server-side", "--force-conflicts", "--filename=-"], yaml)
    }

    /// kubectl in a namespace; blanks separate its arguments.
    pub fn kubectl_in(&self, namespace: &str, words: &str) -> Result<String> {
        let words = ["--namespace", namespace].into_iter().chain(words.split_whitespace());
        self.kubectl(&words.collect::<Vec<_>>())
    }

    pub fn get(&self, namespace: &str, kind: &str, name: &str) -> Result<Value> {
        let text = self.kubectl_in(namespace, &format!("get {kind} {name} --output=json"))?;
        serde_json::from_str(&text).with_context(|| format!("{kind} {name} is not JSON"))
    }

    /// The objects that `kubectl get` finds by these words, such as `pods --selector=app=shop`.
    pub fn list(&self, namespace: &str, words: &str) -> Result<Vec<Value>> {
        let text = self.kubectl_in(namespace, &format!("get {words} --output=json"))?;
        let list: Value = serde_json::from_str(&text).with_context(|| format!("{words} are not JSON"))?;
        Ok(list.list("/items").to_vec())
    }

    /// Changes an object, given as `KIND NAME` and further flags, by a JSON merge patch or, if it is a list, a JSON patch.
    pub fn patch(&self, namespace: &str, object: &str, patch: &Value) -> Result<()> {
        let type_ = if patch.is_array() { "json" } else { "merge" };
        let words = ["--namespace", namespace, "patch"].into_iter().chain(object.split_whitespace());
        let words: Vec<&str> = words.chain(["--type", type_, "--patch"]).collect();
        let patch = patch.to_string();
        self.kubectl(&[&words[..], &[&patch]].concat()).map(drop)
    }

    /// Waits until all pods of a Deployment are of its newest template, and available.
    pub fn rolled_out(&self, namespace: &str, deployment: &str, within: Duration) -> Result<()> {
        let words = format!("rollout status deployment/{deployment} --timeout={}s", within.as_secs());
        self.kubectl_in(namespace, &words).map(drop)
    }

    pub fn helm(&self, args: &[&str]) -> Result<String> {
        let context = self.context.iter().flat_map(|context| ["--kube-context", context]);
        let mut command = self.command(&self.helm);
        command.args(context).args(args);
        finish(command, "")
    }

    pub fn kubectl_command(&self, args: &[&str]) -> Command {
        let context = self.context.iter().flat_map(|context| ["--context", context]);
        let mut command = self.command(&self.kubectl);
        command.args(context).args(args);
        command
    }

    /// The flags and variables for a user's kubectl on the same cluster.
    pub fn shown(&self) -> (Option<&Path>, Option<&str>) {
        (self.kubeconfig.as_deref(), self.context.as_deref())
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_reaches_kubectl_and_helm_and_without_one_there_is_no_flag() {
        let mut client = Client::of_machine("kubectl".into(), "helm".into(), "/etc/kubeconfig".into());
        let arguments = |client: &Client| {
            let command = client.kubectl_command(&["get", "pods"]);
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(arguments(&client), ["get", "pods"]);
        client.context = Some("kind-shop".into());
        assert_eq!(arguments(&client), ["--context", "kind-shop", "get", "pods"]);
        client.helm = "echo".into();
        assert_eq!(client.helm(&["list"]).unwrap(), "--kube-context kind-shop list\n");
    }
}
