// Package spine measures kvd side by side with a real redis-server: memory,
// CPU time per request, saving, loading, the clone and what a client sees of a
// save. Each is a process of its own on loopback with its default settings; they
// take turns, and medians of the rounds are compared.
//
//	KVD_BENCH_SCALE=1 go test ./bench/spine -run '^$' -bench Spine -benchtime 1x -timeout 120m
//	KVD_BENCH_SCALE=1 go test ./bench/spine -run '^$' -bench Spine/cpu -benchtime 1x -timeout 60m
//
// The result is one Markdown table. A missed gate is printed, it does not fail
// the run: a figure depends on the machine. A wrong digest or a dump that
// redis-check-rdb refuses does fail it. Without -bench only a tiny run of every
// measurement takes place, so that none of them rots.
//
// # Ten saves in a row
//
// BenchmarkTenSaves measures kvd alone: how the cut and the clone grow with the
// data, and whether the tenth save finds the server as the first one did.
//
//	KVD_BENCH_SCALE=1 go test ./bench/spine -v -run '^$' -bench TenSaves -benchtime 1x -timeout 120m
//
// For each size (1, 5 and 20 million keys with random values of 100 bytes) it
//
//  1. starts a fresh kvd, fills it and waits until it is at rest: no huge page to be
//     joined (fork_recollapse_pending_bytes:0), nothing held back
//     (mem_arena_deferred:0) and used_memory_rss steady for 0.8 s, but at most 75 s;
//  2. notes the resident memory and the share of huge pages, as INFO and as the kernel
//     tell them;
//  3. starts 8 clients that SET random keys at 8,000 a second in all; after half a
//     second BGSAVE THREAD; they write until the save has ended;
//  4. takes rdb_last_pause_usec (the cut), latest_fork_usec (the clone),
//     rdb_last_save_seconds (with the verification), rdb_last_extra_memory_peak and
//     rdb_last_cow_faults, waits until the server is at rest and goes on with 2, ten
//     times;
//  5. does the same with BGSAVE FORK.
//
// It prints a line for each size and engine, then what kvd promises beside it, and
// with -v a line for each save. A save that fails, is not verified or has another
// number of keys than the server fails the run. Sizes that twice the memory would
// not hold are skipped.
//
//	KVD_BENCH_KEYS    sizes instead of those, with commas: "1000000,5000000"
//	KVD_BENCH_POLICY  values, in-place or path-copy, given to kvd as fork-write-policy
//
// KVD_BENCH_SCALE scales the sizes unless KVD_BENCH_KEYS names them; with a
// redis-server as KVD_BIN there is one engine.
//
// # Environment
//
//	KVD_BENCH_SCALE   factor on keys and requests, above 0; without it nothing is benchmarked
//	KVD_BENCH_ROUNDS  rounds of every measurement (5)
//	KVD_BIN           absolute path of the kvd to measure (built from cmd/kvd). A redis-server here
//	                  compares Redis with itself: every ratio must then be near 1.
//	TMPDIR            where dumps go; its disk is part of the save and load times
//
// Of kvd the package may import bench/internal/host, load and result alone: it knows
// the server's protocol only.
package spine
