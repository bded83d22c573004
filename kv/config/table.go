package config

// tableNow has the directives of what kvd does today: the process, network, limits, data types, logging, persistence.
func tableNow() []directive {
	var rows []directive
	for _, group := range [][]directive{processRows(), networkRows(), limitRows(), typeRows(), logRows(), persistenceRows()} {
		rows = append(rows, group...)
	}
	return rows
}

var (
	protectedAction = []enumItem{{"no", 0}, {"yes", 1}, {"local", 2}}
	shutdownFlags   = []enumItem{{"default", 0}, {"save", 1}, {"nosave", 2}, {"now", 4}, {"force", 8}}
	// Valkey's word for a save without a child is kept as what it is in kvd.
	bgsaveMethods = []enumItem{{"fork", 0}, {"thread", 1}, {"forkless", 1}, {"auto", 2}}
	oomScoreAdj   = []enumItem{{"no", 0}, {"yes", 1}, {"relative", 1}, {"absolute", 2}}
)

// maxSavePercent bounds save-memory-limit: more than ten times the data is a slip of the pen.
const maxSavePercent = 1000

func processRows() []directive {
	const noAffinity = "kvd leaves the choice of processors to the kernel"
	return []directive{
		yesNo("daemonize", false).with(immutable).honoured(),
		path("pidfile").with(immutable).honoured(),
		choice("supervised", "no", words("upstart", "systemd", "auto", "no")...).with(immutable).honoured(),
		integer("databases", 1, maxInt, "16").with(immutable).honoured(),
		integer("hz", 0, maxInt, "10").clamped(1, 500).honoured(),
		yesNo("dynamic-hz", true).harmless("the work per tick does not grow with the number of clients"),
		integer("io-threads", 0, 128, "0").with(immutable).honoured(),
		yesNo("io-threads-do-reads", false).with(immutable).harmless("every event loop reads and writes its own clients"),
		choice("enable-protected-configs", "no", protectedAction...).with(immutable).honoured(),
		choice("enable-debug-command", "no", protectedAction...).with(immutable).honoured(),
		choice("enable-module-command", "no", protectedAction...).with(immutable).harmless("there are no modules"),
		integer("shutdown-timeout", 0, maxInt, "10").harmless("there are no replicas to wait for"),
		flagWords("shutdown-on-sigint", "default", shutdownFlags...).honoured(),
		flagWords("shutdown-on-sigterm", "default", shutdownFlags...).honoured(),
		choice("oom-score-adj", "no", oomScoreAdj...).honoured(),
		special("oom-score-adj-values", "0 200 800", parseOOMValues, oneLine).with(multi).honoured(),
		yesNo("disable-thp", true).with(immutable).harmless(
			"kvd asks for huge pages itself and copies 4 KiB at a time when a child shares them"),
		yesNo("set-proc-title", true).with(immutable).harmless("the title of the process is its command line"),
		text("proc-title-template", "{title} {listen-addr} {server-mode}").checked(checkTitleTemplate).
			harmless("the title of the process is its command line"),
		path("server_cpulist").with(immutable).harmless(noAffinity),
		path("bio_cpulist").with(immutable).harmless(noAffinity),
		path("aof_rewrite_cpulist").with(immutable).harmless(noAffinity),
		path("bgsave_cpulist").with(immutable).harmless(noAffinity),
		text("ignore-warnings", "").harmless("none of the warnings that it can silence stops kvd"),
		yesNo("jemalloc-bg-thread", true).harmless("kvd does not use jemalloc"),
		yesNo("activedefrag", false).harmless("kvd's arena is not jemalloc's"),
		integer("active-defrag-cycle-min", 1, 99, "1").harmless("it acts with activedefrag only"),
		integer("active-defrag-cycle-max", 1, 99, "25").harmless("it acts with activedefrag only"),
		integer("active-defrag-threshold-lower", 0, 1000, "10").harmless("it acts with activedefrag only"),
		integer("active-defrag-threshold-upper", 0, 1000, "100").harmless("it acts with activedefrag only"),
		integer("active-defrag-max-scan-fields", 1, maxLong, "1000").harmless("it acts with activedefrag only"),
		memory("active-defrag-ignore-bytes", 1, maxLong, "100mb").harmless("it acts with activedefrag only"),
		yesNo("activerehashing", true).harmless("the key index never rehashes"),
		integer("active-expire-effort", 1, 10, "1").harmless("the expiry sweep has a fixed budget of time"),
	}
}

func networkRows() []directive {
	return []directive{
		integer("port", 0, 65535, "6379").honoured(),
		special("bind", "* -::*", parseBind, bindLine).with(multi).honoured(),
		path("bind-source-addr").harmless("it is for connections to a master"),
		path("unixsocket").with(immutable).honoured(),
		directive{name: "unixsocketperm", kind: kindOctal, max: 0o777, def: "0"}.with(immutable).honoured(),
		yesNo("protected-mode", true).honoured(),
		text("requirepass", "").with(sensitive | absentEmpty).honoured(),
		integer("tcp-backlog", 0, maxInt, "511").with(immutable).honoured(),
		integer("tcp-keepalive", 0, maxInt, "300").honoured(),
		integer("timeout", 0, maxInt, "0").honoured(),
		integer("socket-mark-id", 0, maxUint, "0").with(immutable).honoured(),
	}
}

func limitRows() []directive {
	const frees = "kvd frees in bounded slices whatever the command is"
	return []directive{
		integer("maxclients", 1, maxUint, "10000").honoured(),
		special("client-output-buffer-limit",
			"normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60", parseOutputLimits, outputLimitLines).with(multi).honoured(),
		memory("client-query-buffer-limit", 1<<20, maxLong, "1gb").honoured(),
		memory("proto-max-bulk-len", 1<<20, maxLong, "512mb").honoured(),
		memory("maxmemory", 0, maxLong, "0").refused("a limit on the memory would be lifted silently"),
		choice("maxmemory-policy", "noeviction", words("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
			"allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction")...).refused("there is no eviction"),
		directive{name: "maxmemory-clients", kind: kindPercent, min: -100, max: maxLong, def: "0"}.
			refused("a limit on the memory of clients would be lifted silently"),
		integer("maxmemory-samples", 1, maxInt, "5").harmless("it acts with maxmemory only"),
		integer("maxmemory-eviction-tenacity", 0, 100, "10").harmless("it acts with maxmemory only"),
		integer("lfu-log-factor", 0, maxInt, "10").harmless("it acts with maxmemory only"),
		integer("lfu-decay-time", 0, maxInt, "1").harmless("it acts with maxmemory only"),
		yesNo("lazyfree-lazy-eviction", false).harmless("there is no eviction"),
		yesNo("lazyfree-lazy-expire", false).harmless(frees),
		yesNo("lazyfree-lazy-server-del", false).harmless(frees),
		yesNo("lazyfree-lazy-user-del", false).harmless(frees),
		yesNo("lazyfree-lazy-user-flush", false).harmless(frees),
		integer("tracking-table-max-keys", 0, maxLong, "1000000").harmless("there is no tracking of keys yet"),
		integer("busy-reply-threshold", 0, maxLong, "5000").as("lua-time-limit").harmless("there are no scripts yet"),
	}
}

// typeRows says how big a collection may be to lie in one block. Those of sets have the names of Redis 7.2.
func typeRows() []directive {
	return []directive{
		integer("hash-max-listpack-entries", 0, maxLong, "512").as("hash-max-ziplist-entries").honoured(),
		memory("hash-max-listpack-value", 0, maxLong, "64").as("hash-max-ziplist-value").honoured(),
		integer("list-max-listpack-size", -1<<31, maxInt, "-2").as("list-max-ziplist-size").honoured(),
		integer("list-compress-depth", 0, maxInt, "0").harmless("kvd compresses no part of a list"),
		integer("set-max-intset-entries", 0, maxLong, "512").honoured(),
		integer("set-max-listpack-entries", 0, maxLong, "128").honoured(),
		memory("set-max-listpack-value", 0, maxLong, "64").honoured(),
		integer("zset-max-listpack-entries", 0, maxLong, "128").as("zset-max-ziplist-entries").honoured(),
		memory("zset-max-listpack-value", 0, maxLong, "64").as("zset-max-ziplist-value").honoured(),
		memory("hll-sparse-max-bytes", 0, maxLong, "3000").honoured(),
		memory("stream-node-max-bytes", 0, maxLong, "4096").honoured(),
		integer("stream-node-max-entries", 0, maxLong, "100").honoured(),
	}
}

func logRows() []directive {
	return []directive{
		choice("loglevel", "notice", words("debug", "verbose", "notice", "warning")...).honoured(),
		text("logfile", "").with(immutable).honoured(),
		yesNo("syslog-enabled", false).with(immutable).honoured(),
		text("syslog-ident", "redis").with(immutable).honoured(),
		choice("syslog-facility", "local0", words("user", "local0", "local1", "local2", "local3", "local4", "local5",
			"local6", "local7")...).with(immutable).honoured(),
		yesNo("always-show-logo", false).with(immutable).harmless("kvd has no logo"),
		yesNo("crash-log-enabled", true).honoured(),
		yesNo("crash-memcheck-enabled", true).harmless("kvd does not test the memory after a crash"),
		yesNo("latency-tracking", true).honoured(),
		special("latency-tracking-info-percentiles", "50 99 99.9", parsePercentiles, oneLine).with(multi).honoured(),
		integer("latency-monitor-threshold", 0, maxLong, "0").honoured(),
		integer("slowlog-log-slower-than", -1, maxLong, "10000").harmless("there is no SLOWLOG command yet"),
		integer("slowlog-max-len", 0, maxLong, "128").harmless("there is no SLOWLOG command yet"),
		integer("acllog-max-len", 0, maxLong, "128").harmless("there is no ACL command yet"),
		integer("watchdog-period", 0, maxInt, "0").with(hidden).harmless("kvd has no software watchdog of commands"),
		yesNo("use-exit-on-panic", false).with(hidden).harmless("a panic ends kvd with exit status 2"),
	}
}

func persistenceRows() []directive {
	return []directive{
		special("save", "3600 1 300 100 60 10000", parseSave, saveLines).with(multi).honoured(),
		special("dir", ".", parseDir, dirLine).with(protected | denyLoading).honoured(),
		text("dbfilename", "dump.rdb").with(protected).checked(baseName("dbfilename", "filename")).honoured(),
		yesNo("stop-writes-on-bgsave-error", true).honoured(),
		yesNo("rdbcompression", true).honoured(),
		yesNo("rdbchecksum", true).with(immutable).honoured(),
		yesNo("rdb-save-incremental-fsync", true).honoured(),
		choice("bgsave-default-method", "auto", bgsaveMethods...).honoured(),
		choice("save-verify", "yes", words("no", "yes", "full")...).honoured(),
		// Where the fields of hashes expire: Redis' version 12 or Valkey's 80.
		choice("rdb-field-expiry-format", "redis", words("redis", "valkey")...).honoured(),
		// Of dumps: values of modules, their other data, function libraries.
		choice("rdb-load-unsupported", "refuse", words("refuse", "skip")...).honoured(),
		integer("save-threads", 0, 128, "0").honoured(), // 0: the cores less one
		memory("save-rate-limit", 0, maxLong, "0").honoured(),
		// A percentage is one of the data, 0 is no limit.
		directive{name: "save-memory-limit", kind: kindPercent, min: -maxSavePercent, max: maxLong, def: "25%"}.honoured(),
		choice("save-overrun", "abort", words("abort", "throttle")...).honoured(),
		integer("save-keep", 0, 100000, "0").honoured(),
		text("save-cron", "").checked(checkCron).honoured(),
		// Whoever may say CONFIG SET must not be able to run programs.
		text("save-hook", "").with(immutable).honoured(),
		integer("save-hook-timeout", 1, maxInt, "60").honoured(),
		choice("fork-write-policy", "values", words("values", "in-place", "path-copy")...).honoured(),
		integer("save-child-timeout", 1, maxInt, "60").honoured(),
		integer("save-child-nice", 0, 19, "10").honoured(),
		choice("save-child-ioprio", "best-effort", words("none", "best-effort", "idle")...).honoured(),
		memory("fork-recollapse-rate", 0, maxLong, "256mb").honoured(),
		choice("sanitize-dump-payload", "no", words("no", "yes", "clients")...).
			harmless("every payload is checked in full, always"),
		yesNo("rdb-del-sync-files", false).harmless("there are no files of a full synchronisation"),
		integer("rdb-key-save-delay", -1<<31, maxInt, "0").with(hidden).harmless("it slows a save down for tests of Redis"),
		integer("key-load-delay", -1<<31, maxInt, "0").with(hidden).harmless("it slows a load down for tests of Redis"),
		integer("loading-process-events-interval-bytes", 1024, maxInt, "2097152").with(hidden).
			harmless("clients are answered while a dump is loading, whatever its progress"),
	}
}
