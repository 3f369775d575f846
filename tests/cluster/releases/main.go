// The EndpointSlices that a release of Kubernetes makes for a Service and the pods that it selects.
//
// Built for each promised release, with that release's own modules (kubernetes-1.XX.mod). Reads
// {"service": ..., "pods": [...]} and prints the EndpointSlices. The client keeps what the reconciler creates; with
// client-go's own fake, a build would take a quarter longer.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	discovery "k8s.io/client-go/kubernetes/typed/discovery/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/endpointslice"
	endpointsliceutil "k8s.io/endpointslice/util"
	"k8s.io/klog/v2"
)

const (
	mostEndpoints = 100
	controller    = "endpointslice-controller.k8s.io"
)

func main() {
	var asked struct {
		Service corev1.Service `json:"service"`
		Pods    []*corev1.Pod  `json:"pods"`
	}
	check(json.NewDecoder(os.Stdin).Decode(&asked))
	nodes := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for _, pod := range asked.Pods {
		check(nodes.Add(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: pod.Spec.NodeName}}))
	}
	client := &client{created: []*discoveryv1.EndpointSlice{}}
	reconciler := endpointslice.NewReconciler(
		client, corelisters.NewNodeLister(nodes), mostEndpoints, endpointsliceutil.NewEndpointSliceTracker(), nil,
		record.NewFakeRecorder(mostEndpoints), controller,
	)
	check(reconciler.Reconcile(klog.Background(), &asked.Service, asked.Pods, nil, time.Now()))
	check(json.NewEncoder(os.Stdout).Encode(client.created))
}

// client is a clientset that creates EndpointSlices only.
type client struct {
	kubernetes.Interface
	created []*discoveryv1.EndpointSlice
}

func (c *client) DiscoveryV1() discovery.DiscoveryV1Interface { return group{client: c} }

type group struct {
	discovery.DiscoveryV1Interface
	client *client
}

func (g group) EndpointSlices(string) discovery.EndpointSliceInterface {
	return slices{client: g.client}
}

type slices struct {
	discovery.EndpointSliceInterface
	client *client
}

func (s slices) Create(
	_ context.Context, made *discoveryv1.EndpointSlice, _ metav1.CreateOptions,
) (*discoveryv1.EndpointSlice, error) {
	made.Name = fmt.Sprintf("%s%d", made.GenerateName, len(s.client.created))
	s.client.created = append(s.client.created, made)
	return made, nil
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
