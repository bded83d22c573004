package config

// tableLater has the directives of what kvd does not do yet: append-only files, replication, ACLs, cluster, TLS, events.
// When one is built its rows change their class and move to table.go.
func tableLater() []directive {
	var rows []directive
	for _, group := range [][]directive{aofRows(), replicationRows(), accessRows(), clusterRows(), tlsRows()} {
		rows = append(rows, group...)
	}
	return rows
}

func aofRows() []directive {
	const off = "it acts with appendonly only"
	return []directive{
		yesNo("appendonly", false).with(denyLoading).refused("writes would not reach an append-only file"),
		text("appendfilename", "appendonly.aof").with(immutable).checked(baseName("appendfilename", "filename")).harmless(off),
		text("appenddirname", "appendonlydir").with(immutable).checked(baseName("appenddirname", "dirname")).harmless(off),
		choice("appendfsync", "everysec", words("everysec", "always", "no")...).harmless(off),
		yesNo("no-appendfsync-on-rewrite", false).harmless(off),
		integer("auto-aof-rewrite-percentage", 0, maxInt, "100").harmless(off),
		memory("auto-aof-rewrite-min-size", 0, maxLong, "64mb").harmless(off),
		yesNo("aof-load-truncated", true).harmless(off),
		yesNo("aof-use-rdb-preamble", true).harmless(off),
		yesNo("aof-timestamp-enabled", false).harmless(off),
		yesNo("aof-rewrite-incremental-fsync", true).harmless(off),
		yesNo("aof-disable-auto-gc", false).harmless(off),
	}
}

func replicationRows() []directive {
	const off = "there is no replication yet"
	return []directive{
		special("replicaof", "no one", parseReplicaOf, replicaOfLine).as("slaveof").with(immutable | multi).
			refused("there is no replication, the master's data would be missing"),
		path("masterauth").with(sensitive).refused("there is no replication"),
		path("masteruser").with(sensitive).refused("there is no replication"),
		integer("min-replicas-to-write", 0, maxInt, "0").as("min-slaves-to-write").
			refused("there is no replication, writes would be accepted without replicas"),
		integer("min-replicas-max-lag", 0, maxInt, "10").as("min-slaves-max-lag").harmless("it acts with min-replicas-to-write only"),
		yesNo("replica-serve-stale-data", true).as("slave-serve-stale-data").harmless(off),
		yesNo("replica-read-only", true).as("slave-read-only").harmless(off),
		yesNo("replica-lazy-flush", false).as("slave-lazy-flush").harmless(off),
		yesNo("replica-ignore-maxmemory", true).as("slave-ignore-maxmemory").harmless(off),
		yesNo("replica-ignore-disk-write-errors", false).harmless(off),
		yesNo("replica-announced", true).harmless(off),
		path("replica-announce-ip").as("slave-announce-ip").harmless(off),
		integer("replica-announce-port", 0, 65535, "0").as("slave-announce-port").harmless(off),
		integer("replica-priority", 0, maxInt, "100").as("slave-priority").harmless(off),
		yesNo("repl-diskless-sync", true).harmless(off),
		integer("repl-diskless-sync-delay", 0, maxInt, "5").harmless(off),
		integer("repl-diskless-sync-max-replicas", 0, maxInt, "0").harmless(off),
		choice("repl-diskless-load", "disabled", words("disabled", "on-empty-db", "swapdb")...).with(denyLoading).harmless(off),
		yesNo("repl-disable-tcp-nodelay", false).harmless(off),
		integer("repl-timeout", 1, maxInt, "60").harmless(off),
		integer("repl-ping-replica-period", 1, maxInt, "10").as("repl-ping-slave-period").harmless(off),
		memory("repl-backlog-size", 1, maxLong, "1mb").harmless(off),
		integer("repl-backlog-ttl", 0, maxLong, "3600").harmless(off),
		choice("propagation-error-behavior", "ignore", words("ignore", "panic", "panic-on-replicas")...).harmless(off),
	}
}

func accessRows() []directive {
	return []directive{
		text("aclfile", "").with(immutable).refused("there are no access control lists, everybody could do everything"),
		choice("acl-pubsub-default", "resetchannels", words("allchannels", "resetchannels")...).harmless("there are no ACL users yet"),
		special("notify-keyspace-events", "", parseNotify, quotedLine).refused("subscribers would wait for events for ever"),
	}
}

func clusterRows() []directive {
	const off = "it acts with cluster-enabled only"
	return []directive{
		yesNo("cluster-enabled", false).with(immutable).refused("kvd would answer for slots that other nodes own"),
		text("cluster-config-file", "nodes.conf").with(immutable).harmless(off),
		integer("cluster-node-timeout", 0, maxLong, "15000").harmless(off),
		integer("cluster-port", 0, 65535, "0").with(immutable).harmless(off),
		path("cluster-announce-ip").harmless(off),
		path("cluster-announce-hostname").checked(checkHostname).harmless(off),
		integer("cluster-announce-port", 0, 65535, "0").harmless(off),
		integer("cluster-announce-bus-port", 0, 65535, "0").harmless(off),
		integer("cluster-announce-tls-port", 0, 65535, "0").harmless(off),
		choice("cluster-preferred-endpoint-type", "ip", words("ip", "hostname", "unknown-endpoint")...).harmless(off),
		integer("cluster-migration-barrier", 0, maxInt, "1").harmless(off),
		integer("cluster-replica-validity-factor", 0, maxInt, "10").as("cluster-slave-validity-factor").harmless(off),
		yesNo("cluster-replica-no-failover", false).as("cluster-slave-no-failover").harmless(off),
		yesNo("cluster-require-full-coverage", true).harmless(off),
		yesNo("cluster-allow-reads-when-down", false).harmless(off),
		yesNo("cluster-allow-pubsubshard-when-down", true).harmless(off),
		yesNo("cluster-allow-replica-migration", true).harmless(off),
		memory("cluster-link-sendbuf-limit", 0, maxLong, "0").harmless(off),
	}
}

func tlsRows() []directive {
	rows := []directive{
		integer("tls-port", 0, 65535, "0"),
		integer("tls-session-cache-size", 0, maxInt, "20480"),
		integer("tls-session-cache-timeout", 0, maxInt, "300"),
		yesNo("tls-cluster", false),
		yesNo("tls-replication", false),
		choice("tls-auth-clients", "yes", words("no", "yes", "optional")...),
		yesNo("tls-prefer-server-ciphers", false),
		yesNo("tls-session-caching", true),
		path("tls-cert-file"),
		path("tls-key-file"),
		path("tls-key-file-pass").with(sensitive),
		path("tls-client-cert-file"),
		path("tls-client-key-file"),
		path("tls-client-key-file-pass").with(sensitive),
		path("tls-dh-params-file"),
		path("tls-ca-cert-file"),
		path("tls-ca-cert-dir"),
		path("tls-protocols"),
		path("tls-ciphers"),
		path("tls-ciphersuites"),
	}
	for i := range rows {
		rows[i] = rows[i].refused("there is no TLS, connections would not be encrypted or checked")
	}
	return rows
}
