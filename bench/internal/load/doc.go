//go:build linux

// Package load is the benchmark's clients: it fills a server with data, sends
// requests to it over TCP, paced or as fast as the replies come, and records
// what every one of them had to wait.
//
//	timerfd ──┐
//	eventfd ──┼─► epoll ─► loop (one locked OS thread) ─► write / read ─► server
//	sockets ──┘              │
//	                         └─► recorder: a slot of 100 ms at a time
//
// # Paced: no coordinated omission
//
// With Spec.Rate the n-th request is due n/Rate seconds after the start, on
// connection n mod Conns, and is sent then whether or not earlier replies came.
// Its latency counts from that moment and not from when the socket took it. So a
// server that stands still for 200 ms at 10,000 requests a second is seen by
// 2000 requests and not by one per connection. Requests that cannot be sent,
// because the socket or the queue of a connection is full, are owed: they go out
// as soon as there is room, in order, with the due time they always had. The
// probe (PING) is paced in the same way, also beside a closed loop.
//
// How late the loop itself was (the moment of the write minus the due time, of
// requests that nothing but the loop held up) is recorded apart, by slot as if it
// were an operation, "lag": a latency below it says nothing of the server. On a
// machine that is short of cores it is larger during a save than before.
//
// # Closed loop
//
// Without Rate each connection sends Pipeline requests in one write and the next
// ones when all of them are answered. Latencies count from that write.
//
// # What is recorded where
//
// A reply belongs to the slot in which it was read. Requests that are not
// answered half a second after Stop (or at a failure) are counted in the last
// slot as if they were answered at that moment: their age is a latency that they
// have at least. They are in counts, percentiles and the maximum but never in
// the throughput, and Recording.Unanswered tells how many they are. So a server
// that hangs is not invisible.
//
// # Surroundings
//
// The loop allocates nothing per request. A garbage collection that other
// goroutines of the process cause costs it tens of microseconds all the same:
// callers set debug.SetGCPercent to a high value, or -1, around a measurement,
// and GOMAXPROCS to one more than there are cores, so that the loop always finds
// a P when it comes back from the kernel.
//
// The package imports nothing of kvd but bench/internal/result. Linux only.
package load
