//! Access to the cluster: get, list, watch and annotate ScalableServices, with actionable errors.

use std::{future::Future, time::Duration};

use kube::{
    Api, Client, Config,
    api::{ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, DynamicObject, TypeMeta},
};

use serde_json::{Value, json};

use super::{
    args::Args,
    failure::Failure,
    proxy::{self, Environment},
};
use crate::field_managers;
use plimsoll_api::ScalableService;

/// Timeouts of a connection and of a response; the plugin is interactive.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);
/// Objects in one page of a list, as in kubectl.
const PAGE: u32 = 500;

/// The API server and the namespace of the requests.
pub struct Cluster {
    /// The ScalableServices of the namespace, or of all namespaces.
    pub api: Api<DynamicObject>,
    resource: ApiResource,
    url: String,
    namespace: Option<String>,
}

impl Cluster {
    /// Reads the kubeconfig; sends no request.
    pub async fn connect(args: &Args, all_namespaces: bool) -> Result<Self, Failure> {
        let mut config = config(args).await?;
        config.connect_timeout = Some(CONNECT);
        // An interactive user wants to see an overloaded server, not to wait for retries.
        config.default_retry = false;
        let mut url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        if let Some(proxy) = &config.proxy_url {
            url += &format!(" (through the proxy {})", proxy::without_password(&proxy.to_string()));
        }
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| Failure::no_config(&error))?;
        let resource = ApiResource::erase::<ScalableService>(&());
        let api = if all_namespaces {
            Api::all_with(client, &resource)
        } else {
            Api::namespaced_with(client, &namespace, &resource)
        };
        Ok(Self { api, resource, url, namespace: (!all_namespaces).then_some(namespace) })
    }

    /// The ScalableService of this name.
    pub async fn get(&self, name: &str) -> Result<DynamicObject, Failure> {
        self.answer("get", Some(name), self.api.get(name)).await.map(|object| self.complete(object))
    }

    /// Sets annotations of the ScalableService of this name, and removes those that are null.
    pub async fn annotate(&self, name: &str, annotations: Value) -> Result<(), Failure> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let params =
            PatchParams { field_manager: Some(field_managers::PLUGIN.to_owned()), ..PatchParams::default() };
        self.answer("patch", Some(name), self.api.patch(name, &params, &patch)).await?;
        Ok(())
    }

    /// All ScalableServices, sorted by namespace and name.
    pub async fn list(&self) -> Result<Vec<DynamicObject>, Failure> {
        let mut objects = Vec::new();
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = self.answer("list", None, self.api.list(&page)).await?;
            objects.extend(list.items.into_iter().map(|object| self.complete(object)));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
        objects.sort_by(|a, b| {
            (&a.metadata.namespace, &a.metadata.name).cmp(&(&b.metadata.namespace, &b.metadata.name))
        });
        Ok(objects)
    }

    /// The object as printed by kubectl: with its kind, without managedFields.
    pub fn complete(&self, mut object: DynamicObject) -> DynamicObject {
        let types =
            || TypeMeta { api_version: self.resource.api_version.clone(), kind: self.resource.kind.clone() };
        object.types.get_or_insert_with(types);
        object.metadata.managed_fields = None;
        object
    }

    /// `in namespace shop` or `in any namespace`, for a sentence that says that nothing was found.
    pub fn place(&self) -> String {
        self.namespace
            .as_ref()
            .map_or_else(|| "in any namespace".to_owned(), |name| format!("in namespace {name}"))
    }

    /// `in namespace shop` or `in all namespaces`: the scope of a request.
    pub fn scope(&self) -> String {
        self.namespace
            .as_ref()
            .map_or_else(|| "in all namespaces".to_owned(), |name| format!("in namespace {name}"))
    }

    /// The failure of a request.
    pub fn failure(&self, verb: &'static str, name: Option<&str>, error: &kube::Error) -> Failure {
        Failure::of(error, verb, name, &self.scope(), &self.url)
    }

    async fn answer<T>(
        &self,
        verb: &'static str,
        name: Option<&str>,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(ANSWER, request).await {
            Ok(answer) => answer.map_err(|error| self.failure(verb, name, &error)),
            Err(_) => Err(Failure::Unreachable {
                url: self.url.clone(),
                why: format!("it did not answer within {} s", ANSWER.as_secs()),
            }),
        }
    }
}

async fn config(args: &Args) -> Result<Config, Failure> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let file = match &args.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let config = match file {
        Ok(mut file) => {
            let proxy = take_proxy(&mut file, args.context.as_ref());
            Config::from_custom_kubeconfig(file, &options).await.map(|config| (config, proxy))
        }
        Err(error) => Err(error),
    };
    match config {
        Ok((mut config, proxy)) => {
            let proxy = proxy::choose(proxy.as_deref(), &config.cluster_url, &Environment::read());
            config.proxy_url = proxy.map_err(Failure::Proxy)?;
            Ok(config)
        }
        Err(error) => {
            let asked_for = args.kubeconfig.is_some() || args.context.is_some();
            // A pod has a service account instead of a kubeconfig. Elsewhere the error of the kubeconfig is the useful one.
            let in_pod = if asked_for { None } else { Config::incluster().ok() };
            in_pod.ok_or_else(|| Failure::of_config(&error))
        }
    }
}

/// Removes `proxy-url` of the context's cluster from the file, so that kube does not apply it.
fn take_proxy(file: &mut Kubeconfig, context: Option<&String>) -> Option<String> {
    let name = context.or(file.current_context.as_ref())?;
    let context = file.contexts.iter().find(|named| named.name == *name)?.context.as_ref()?;
    let cluster = file.clusters.iter_mut().find(|named| named.name == context.cluster)?;
    cluster.cluster.as_mut()?.proxy_url.take()
}
