//! The objects of a balancer: applied, changed, removed.

use kube::ResourceExt as _;
use plimsoll::{actuate::balancer::BalancerError, lease::WriteError};
use serde_json::{Value, json};

use super::objects::{object, service};
use crate::{
    play::Play,
    stage::{api, resource},
    writers::{apply_balancer, balancer_objects, remove_balancer},
};

const OBJECTS: [(&str, &str); 8] = [
    ("services", "shop-endpoints"),
    ("serviceaccounts", "shop-lb"),
    ("roles", "shop-lb"),
    ("rolebindings", "shop-lb"),
    ("services", "shop-lb"),
    ("poddisruptionbudgets", "shop-lb"),
    ("networkpolicies", "shop-lb"),
    ("deployments", "shop-lb"),
];

pub async fn all(play: &mut Play) {
    let mut shop = object("scalableservices", "shop");
    shop["spec"]["traffic"] = json!({
        "provider": "HAProxy", "targetPort": 8080, "service": {"annotations": {"cloud": "internal"}},
        "listeners": [{"port": 80}, {"port": 443, "tls": {"secretName": "shop.tls"}}],
    });
    play.apply("scalableservices", shop.clone()).await;
    play.observe("balancer", "scalableservices", "shop").await;
    apply(play, "applied").await;
    apply(play, "applied again").await;
    shop["spec"]["traffic"] = json!({
        "provider": "NGINX", "targetPort": 9090, "replicas": 3, "listeners": [{"port": 443}, {"port": 81}],
    });
    play.apply("scalableservices", shop.clone()).await;
    apply(play, "applied for another spec").await;
    play.patch("services", "shop-lb", None, json!({"spec": {"selector": {"edited": "yes"}}})).await;
    play.patch("deployments", "shop-lb", None, json!({"spec": {"replicas": 9}})).await;
    apply(play, "applied after edits of a user").await;
    shop["spec"]["traffic"].as_object_mut().unwrap().remove("replicas");
    play.apply("scalableservices", shop).await;
    apply(play, "applied without replicas").await;
    play.patch("deployments", "shop-lb", None, json!({"spec": {"replicas": 5}})).await;
    apply(play, "applied after a user scaled").await;
    read_standby(play).await;
    remove(play).await;
}

async fn apply(play: &mut Play, step: &str) {
    let service = service(play, "shop").await;
    let objects = balancer_objects(&service);
    for object in objects.iter() {
        let kind = object.types.as_ref().unwrap().kind.clone();
        let plural = OBJECTS.iter().find(|(plural, _)| resource(plural).kind == kind).unwrap().0;
        play.sets(plural, &object.name_any(), &serde_json::to_value(object).unwrap());
    }
    // The hash includes the UID of the owner.
    play.rename(objects.hash(), &format!("hash of {step}"));
    let applied = apply_balancer(&play.client, &objects).await;
    play.record(step, &outcome(play, applied));
    for (plural, name) in OBJECTS {
        play.observe(step, plural, name).await;
    }
}

/// The controller reads a standby's Service.
async fn read_standby(play: &mut Play) {
    let services = api(&play.client, "services");
    play.record_object("read a Service", "services", services.get_opt("shop-lb").await);
    play.record_object("read a missing Service", "services", services.get_opt("missing").await);
    play.record_result("read a missing Service, as an error", services.get("missing").await);
}

async fn remove(play: &mut Play) {
    let owner = service(play, "shop").await;
    play.apply("scalableservices", object("scalableservices", "other")).await;
    let mut other = service(play, "other").await;
    other.metadata.name = Some("shop".to_owned());
    let mut foreign = other.clone();
    foreign.spec.traffic = owner.spec.traffic.clone();
    let taken = apply_balancer(&play.client, &balancer_objects(&foreign)).await;
    play.record("the names are taken", &outcome(play, taken));
    let kept = remove_balancer(&play.client, &other).await;
    play.record("remove the objects of another service", &outcome(play, kept));
    for step in ["removed", "removed again"] {
        let removed = remove_balancer(&play.client, &owner).await;
        play.record(step, &outcome(play, removed));
        for (plural, name) in OBJECTS {
            play.observe(step, plural, name).await;
        }
    }
    play.stage().delete("scalableservices", "shop").await;
    play.stage().delete("scalableservices", "other").await;
}

fn outcome(play: &Play, result: Result<(), BalancerError>) -> Value {
    match result {
        Ok(()) => json!("ok"),
        Err(BalancerError::Write { kind, name, error: WriteError::Api(error) }) => {
            json!({"kind": kind, "name": name, "error": play.error(&error)})
        }
        Err(error) => json!(error.to_string()),
    }
}
