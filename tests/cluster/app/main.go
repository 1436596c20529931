// A small service for pods of the tests. Every answer names its version; how it behaves can be changed while it runs:
//
//	GET /-/set?ready=no&errors=5&delay=200ms
//
// It speaks HTTP/1.1, HTTP/2 without TLS, and answers any gRPC call with an empty message. `app pause` only waits.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var bounds = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}

type app struct {
	version string
	host    string

	mutex   sync.Mutex
	ready   bool
	errors  float64 // percent
	delay   time.Duration
	answers map[int]uint64
	buckets []uint64
	seconds float64
}

func main() {
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == "pause" {
		<-ended.Done()
		return
	}
	version := flag.String("version", "v1", "what every answer names")
	listen := flag.String("listen", ":8080", "address")
	errors := flag.Float64("errors", 0, "percent of answers that are a 500")
	delay := flag.Duration("delay", 0, "how long an answer takes")
	ready := flag.Bool("ready", true, "what /readyz says")
	crash := flag.Duration("crash", 0, "exit 1 after this time; 0: never")
	drain := flag.Duration("drain", 3*time.Second, "how long to go on answering after SIGTERM, until nobody sends any more")
	flag.Parse()
	host, _ := os.Hostname()
	a := &app{version: *version, host: host, ready: *ready, errors: *errors, delay: *delay, answers: map[int]uint64{}, buckets: make([]uint64, len(bounds)+1)}

	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/readyz", a.readyz)
	mux.HandleFunc("/metrics", a.metrics)
	mux.HandleFunc("/-/set", a.set)
	mux.HandleFunc("/", a.answer)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Addr: *listen, Handler: mux, Protocols: protocols}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()

	var crashed <-chan time.Time
	if *crash > 0 {
		crashed = time.After(*crash)
	}
	select {
	case err := <-failed:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case <-crashed:
		fmt.Fprintln(os.Stderr, "panic: it crashes, as it was asked to")
		os.Exit(1)
	case <-ended.Done():
		time.Sleep(*drain)
		bounded, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(bounded)
	}
}

func (a *app) answer(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	a.mutex.Lock()
	delay, bad := a.delay, rand.Float64()*100 < a.errors
	a.mutex.Unlock()
	_, _ = io.Copy(io.Discard, r.Body)
	time.Sleep(delay)
	code := http.StatusOK
	if bad {
		code = http.StatusInternalServerError
	}
	w.Header().Set("x-version", a.version)
	w.Header().Set("x-pod", a.host)
	if strings.HasPrefix(r.Header.Get("content-type"), "application/grpc") {
		status := "0"
		if bad {
			status = "13"
		}
		w.Header().Set("content-type", "application/grpc")
		w.Header().Set("trailer", "grpc-status")
		_, _ = w.Write([]byte{0, 0, 0, 0, 0})
		w.Header().Set("grpc-status", status)
	} else {
		w.WriteHeader(code)
		_, _ = fmt.Fprintln(w, a.version)
	}
	took := time.Since(began).Seconds()
	bucket := 0
	for bucket < len(bounds) && took > bounds[bucket] {
		bucket++
	}
	a.mutex.Lock()
	a.answers[code]++
	a.buckets[bucket]++
	a.seconds += took
	a.mutex.Unlock()
}

func (a *app) readyz(w http.ResponseWriter, _ *http.Request) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if !a.ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (a *app) set(w http.ResponseWriter, r *http.Request) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for name, values := range r.URL.Query() {
		var err error
		switch name {
		case "ready":
			a.ready = values[0] == "yes"
		case "errors":
			a.errors, err = strconv.ParseFloat(values[0], 64)
		case "delay":
			a.delay, err = time.ParseDuration(values[0])
		default:
			err = fmt.Errorf("ready, errors and delay can be set, not %s", name)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	fmt.Fprintf(w, "ready %t, errors %g %%, delay %s\n", a.ready, a.errors, a.delay)
}

// The names that the preset `app` reads.
func (a *app) metrics(w http.ResponseWriter, _ *http.Request) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	w.Header().Set("content-type", "text/plain; version=0.0.4")
	fmt.Fprintln(w, "# TYPE http_requests_total counter")
	for _, code := range []int{200, 500} {
		fmt.Fprintf(w, "http_requests_total{code=\"%d\"} %d\n", code, a.answers[code])
	}
	fmt.Fprintln(w, "# TYPE http_request_duration_seconds histogram")
	var total uint64
	for i, bound := range bounds {
		total += a.buckets[i]
		fmt.Fprintf(w, "http_request_duration_seconds_bucket{le=\"%g\"} %d\n", bound, total)
	}
	total += a.buckets[len(bounds)]
	fmt.Fprintf(w, "http_request_duration_seconds_bucket{le=\"+Inf\"} %d\n", total)
	fmt.Fprintf(w, "http_request_duration_seconds_sum %g\nhttp_request_duration_seconds_count %d\n", a.seconds, total)
}
