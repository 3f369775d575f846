module releases

go 1.26.0

require (
	k8s.io/api v0.36.5
	k8s.io/apimachinery v0.36.5
	k8s.io/client-go v0.36.5
	k8s.io/endpointslice v0.36.5
	k8s.io/klog/v2 v2.130.1
)
