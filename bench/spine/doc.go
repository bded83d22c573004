// Package spine measures kvd side by side with a real redis-server: memory,
// CPU time per request, saving, loading, the clone and what a client sees of a
// save. Each is a process of its own on loopback with its default settings; they
// take turns, and medians of the rounds are compared.
//
//	KVD_BENCH_SCALE=1 go test ./bench/spine -run '^$' -bench . -benchtime 1x -timeout 120m
//	KVD_BENCH_SCALE=1 go test ./bench/spine -run '^$' -bench Spine/cpu -benchtime 1x -timeout 60m
//
// The result is one Markdown table. A missed gate is printed, it does not fail
// the run: a figure depends on the machine. A wrong digest or a dump that
// redis-check-rdb refuses does fail it. Without -bench only a tiny run of every
// measurement takes place, so that none of them rots.
//
// Environment:
//
//	KVD_BENCH_SCALE   factor on keys and requests, above 0; without it nothing is benchmarked
//	KVD_BENCH_ROUNDS  rounds of every measurement (5)
//	KVD_BIN           absolute path of the kvd to measure (built from cmd/kvd). A redis-server here
//	                  compares Redis with itself: every ratio must then be near 1.
//	TMPDIR            where dumps go; its disk is part of the save and load times
//
// Of kvd the package may import bench/internal/host and result alone: it knows the
// server's protocol only.
package spine
