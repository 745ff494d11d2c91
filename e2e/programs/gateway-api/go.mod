// The resource definitions of the Gateway API; nothing of it is built.
module plimsoll.dev/e2e/programs/gateway-api

go 1.24.0

require sigs.k8s.io/gateway-api v1.4.1
