// The resource definitions of Envoy Gateway; nothing of it is built.
module plimsoll.dev/e2e/programs/envoy-gateway

go 1.24.0

require github.com/envoyproxy/gateway v1.9.1
