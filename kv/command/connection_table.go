package command

// connectionCommands are the rows of Redis 7.0's connection group, and CLIENT
// SETINFO, which clients of later versions send.
var connectionCommands = []*Spec{
	{
		Name: "auth", Arity: -2, Flags: NoScript | Loading | Stale | Fast | NoAuth | AllowBusy, Categories: CatConnection,
		Handler: cmdAuth,
		Doc: Doc{Summary: "Authenticates the connection with a password, or a user name and password.", Since: "1.0.0", Group: "connection", Complexity: "O(N), N being the number of passwords of the user",
			Args: []Arg{
				{Name: "username", Type: "string", Since: "6.0.0", Optional: true},
				{Name: "password", Type: "string"},
			},
		},
	},
	{
		Name: "client", Arity: -2,
		Doc: Doc{Summary: "Container of the commands about client connections.", Since: "2.4.0", Group: "connection", Complexity: "Depends on subcommand."},
		Sub: []*Spec{
			{
				Name: "client|caching", Arity: 3, Flags: NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientCaching,
				Doc: Doc{Summary: "Says whether the keys of the next command are tracked.", Since: "6.0.0", Group: "connection", Complexity: "O(1)",
					Args: []Arg{
						{Name: "mode", Type: "oneof", Args: []Arg{
							{Name: "yes", Type: "pure-token", Token: "YES"},
							{Name: "no", Type: "pure-token", Token: "NO"},
						}},
					},
				},
			},
			{
				Name: "client|getname", Arity: 2, Flags: NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientGetName,
				Doc:     Doc{Summary: "Returns the name of this connection.", Since: "2.6.9", Group: "connection", Complexity: "O(1)"},
			},
			{
				Name: "client|getredir", Arity: 2, Flags: NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientGetRedir,
				Doc:     Doc{Summary: "Returns the ID of the client that gets this connection's invalidation messages.", Since: "6.0.0", Group: "connection", Complexity: "O(1)"},
			},
			{
				Name: "client|help", Arity: 2, Flags: Loading | Stale, Categories: CatConnection,
				Handler: cmdClientHelp,
				Doc:     Doc{Summary: "Lists the subcommands.", Since: "5.0.0", Group: "connection", Complexity: "O(1)"},
			},
			{
				Name: "client|id", Arity: 2, Flags: NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientID,
				Doc:     Doc{Summary: "Returns the ID of this connection.", Since: "5.0.0", Group: "connection", Complexity: "O(1)"},
			},
			{
				Name: "client|info", Arity: 2, Flags: NoScript | Loading | Stale, Categories: CatConnection,
				Tips:    []string{"nondeterministic_output"},
				Handler: cmdClientInfo,
				Doc:     Doc{Summary: "Describes this connection in one line.", Since: "6.2.0", Group: "connection", Complexity: "O(1)"},
			},
			{
				Name: "client|kill", Arity: -3, Flags: Admin | NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientKill,
				Doc: Doc{Summary: "Closes the connections that match an address or all of the filters.", Since: "2.4.0", Group: "connection", Complexity: "O(N), N being the number of connections",
					Args: []Arg{
						{Name: "filter", Type: "oneof", Args: []Arg{
							{Name: "ip:port", Type: "string", Deprecated: "2.8.12"},
							{Name: "new-format", Type: "oneof", Multiple: true, Args: []Arg{
								{Name: "client-id", Type: "integer", Token: "ID", Since: "2.8.12", Optional: true},
								{Name: "normal_master_slave_pubsub", Type: "oneof", Token: "TYPE", Since: "2.8.12", Optional: true, Args: []Arg{
									{Name: "normal", Type: "pure-token", Token: "NORMAL"},
									{Name: "master", Type: "pure-token", Token: "MASTER", Since: "3.2.0"},
									{Name: "slave", Type: "pure-token", Token: "SLAVE"},
									{Name: "replica", Type: "pure-token", Token: "REPLICA", Since: "5.0.0"},
									{Name: "pubsub", Type: "pure-token", Token: "PUBSUB"},
								}},
								{Name: "username", Type: "string", Token: "USER", Optional: true},
								{Name: "ip:port", Type: "string", Token: "ADDR", Optional: true},
								{Name: "ip:port", Type: "string", Token: "LADDR", Since: "6.2.0", Optional: true},
								{Name: "yes/no", Type: "string", Token: "SKIPME", Optional: true},
							}},
						}},
					},
				},
			},
			{
				Name: "client|list", Arity: -2, Flags: Admin | NoScript | Loading | Stale, Categories: CatConnection,
				Tips:    []string{"nondeterministic_output"},
				Handler: cmdClientList,
				Doc: Doc{Summary: "Describes all connections, or a choice of them, in one line each.", Since: "2.4.0", Group: "connection", Complexity: "O(N), N being the number of connections",
					Args: []Arg{
						{Name: "normal_master_replica_pubsub", Type: "oneof", Token: "TYPE", Since: "5.0.0", Optional: true, Args: []Arg{
							{Name: "normal", Type: "pure-token", Token: "NORMAL"},
							{Name: "master", Type: "pure-token", Token: "MASTER"},
							{Name: "replica", Type: "pure-token", Token: "REPLICA"},
							{Name: "pubsub", Type: "pure-token", Token: "PUBSUB"},
						}},
						{Name: "id", Type: "block", Token: "ID", Since: "6.2.0", Optional: true, Args: []Arg{
							{Name: "client-id", Type: "integer", Multiple: true},
						}},
					},
				},
			},
			{
				Name: "client|no-evict", Arity: 3, Flags: Admin | NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientNoEvict,
				Doc: Doc{Summary: "Protects this connection from client eviction, or no longer.", Since: "7.0.0", Group: "connection", Complexity: "O(1)",
					Args: []Arg{
						{Name: "enabled", Type: "oneof", Args: []Arg{
							{Name: "on", Type: "pure-token", Token: "ON"},
							{Name: "off", Type: "pure-token", Token: "OFF"},
						}},
					},
				},
			},
			{
				Name: "client|pause", Arity: -3, Flags: Admin | NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientPause,
				Doc: Doc{Summary: "Makes the commands of all clients wait for a while.", Since: "2.9.50", Group: "connection", Complexity: "O(1)",
					Args: []Arg{
						{Name: "timeout", Type: "integer"},
						{Name: "mode", Type: "oneof", Since: "6.2.0", Optional: true, Args: []Arg{
							{Name: "write", Type: "pure-token", Token: "WRITE"},
							{Name: "all", Type: "pure-token", Token: "ALL"},
						}},
					},
				},
			},
			{
				Name: "client|reply", Arity: 3, Flags: NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientReply,
				Doc: Doc{Summary: "Turns the replies to this connection off or on, or skips one.", Since: "3.2.0", Group: "connection", Complexity: "O(1)",
					Args: []Arg{
						{Name: "on_off_skip", Type: "oneof", Args: []Arg{
							{Name: "on", Type: "pure-token", Token: "ON"},
							{Name: "off", Type: "pure-token", Token: "OFF"},
							{Name: "skip", Type: "pure-token", Token: "SKIP"},
						}},
					},
				},
			},
			{
				Name: "client|setinfo", Arity: 4, Flags: NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientSetInfo,
				Doc: Doc{Summary: "Tells the server the name or version of the client library.", Since: "7.2.0", Group: "connection", Complexity: "O(1)",
					Args: []Arg{
						{Name: "attr", Type: "oneof", Args: []Arg{
							{Name: "libname", Type: "string", Token: "LIB-NAME"},
							{Name: "libver", Type: "string", Token: "LIB-VER"},
						}},
					},
				},
			},
			{
				Name: "client|setname", Arity: 3, Flags: NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientSetName,
				Doc: Doc{Summary: "Names this connection.", Since: "2.6.9", Group: "connection", Complexity: "O(1)",
					Args: []Arg{
						{Name: "connection-name", Type: "string"},
					},
				},
			},
			{
				Name: "client|tracking", Arity: -3, Flags: NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientTracking,
				Doc: Doc{Summary: "Turns server-assisted client-side caching on or off.", Since: "6.0.0", Group: "connection", Complexity: "O(1). Some options may introduce additional complexity.",
					Args: []Arg{
						{Name: "status", Type: "oneof", Args: []Arg{
							{Name: "on", Type: "pure-token", Token: "ON"},
							{Name: "off", Type: "pure-token", Token: "OFF"},
						}},
						{Name: "client-id", Type: "integer", Token: "REDIRECT", Optional: true},
						{Name: "prefix", Type: "string", Token: "PREFIX", Optional: true, Multiple: true, MultiToken: true},
						{Name: "bcast", Type: "pure-token", Token: "BCAST", Optional: true},
						{Name: "optin", Type: "pure-token", Token: "OPTIN", Optional: true},
						{Name: "optout", Type: "pure-token", Token: "OPTOUT", Optional: true},
						{Name: "noloop", Type: "pure-token", Token: "NOLOOP", Optional: true},
					},
				},
			},
			{
				Name: "client|trackinginfo", Arity: 2, Flags: NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientTrackingInfo,
				Doc:     Doc{Summary: "Tells how this connection uses client-side caching.", Since: "6.2.0", Group: "connection", Complexity: "O(1)"},
			},
			{
				Name: "client|unblock", Arity: -3, Flags: Admin | NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientUnblock,
				Doc: Doc{Summary: "Ends the waiting of a blocked client.", Since: "5.0.0", Group: "connection", Complexity: "O(log N), N being the number of connections",
					Args: []Arg{
						{Name: "client-id", Type: "integer"},
						{Name: "timeout_error", Type: "oneof", Optional: true, Args: []Arg{
							{Name: "timeout", Type: "pure-token", Token: "TIMEOUT"},
							{Name: "error", Type: "pure-token", Token: "ERROR"},
						}},
					},
				},
			},
			{
				Name: "client|unpause", Arity: 2, Flags: Admin | NoScript | Loading | Stale, Categories: CatConnection,
				Handler: cmdClientUnpause,
				Doc:     Doc{Summary: "Ends a CLIENT PAUSE at once.", Since: "6.2.0", Group: "connection", Complexity: "O(N), N being the number of waiting clients"},
			},
		},
	},
	{
		Name: "echo", Arity: 2, Flags: Loading | Stale | Fast, Categories: CatConnection,
		Handler: cmdEcho,
		Doc: Doc{Summary: "Replies its argument.", Since: "1.0.0", Group: "connection", Complexity: "O(1)",
			Args: []Arg{
				{Name: "message", Type: "string"},
			},
		},
	},
	{
		Name: "hello", Arity: -1, Flags: NoScript | Loading | Stale | Fast | NoAuth | AllowBusy, Categories: CatConnection,
		Handler: cmdHello,
		Doc: Doc{Summary: "Chooses the protocol version; can authenticate and name the connection too.", Since: "6.0.0", Group: "connection", Complexity: "O(1)",
			Args: []Arg{
				{Name: "arguments", Type: "block", Optional: true, Args: []Arg{
					{Name: "protover", Type: "integer"},
					{Name: "username_password", Type: "block", Token: "AUTH", Optional: true, Args: []Arg{
						{Name: "username", Type: "string"},
						{Name: "password", Type: "string"},
					}},
					{Name: "clientname", Type: "string", Token: "SETNAME", Optional: true},
				}},
			},
		},
	},
	{
		Name: "ping", Arity: -1, Flags: Fast, Categories: CatConnection,
		Tips:    []string{"request_policy:all_shards", "response_policy:all_succeeded"},
		Handler: cmdPing,
		Doc: Doc{Summary: "Replies PONG, or its argument.", Since: "1.0.0", Group: "connection", Complexity: "O(1)",
			Args: []Arg{
				{Name: "message", Type: "string", Optional: true},
			},
		},
	},
	{
		Name: "quit", Arity: -1, Flags: NoScript | Loading | Stale | Fast | NoAuth | AllowBusy | NeverQueue, Categories: CatConnection,
		Handler: cmdQuit,
		Doc:     Doc{Summary: "Closes the connection.", Since: "1.0.0", Group: "connection", Complexity: "O(1)"},
	},
	{
		Name: "reset", Arity: 1, Flags: NoScript | Loading | Stale | Fast | NoAuth | AllowBusy | NeverQueue, Categories: CatConnection,
		Handler: cmdReset,
		Doc:     Doc{Summary: "Puts the connection back into the state of a new one.", Since: "6.2.0", Group: "connection", Complexity: "O(1)"},
	},
	{
		Name: "select", Arity: 2, Flags: Loading | Stale | Fast, Categories: CatConnection,
		Handler: cmdSelect,
		Doc: Doc{Summary: "Chooses the database of this connection.", Since: "1.0.0", Group: "connection", Complexity: "O(1)",
			Args: []Arg{
				{Name: "index", Type: "integer"},
			},
		},
	},
}
