package command

// serverCommands are the rows of the server group that kvd has.
var serverCommands = []*Spec{
	{
		Name: "command", Arity: -1, Flags: Loading | Stale, Categories: CatConnection,
		Tips:    []string{"nondeterministic_output_order"},
		Handler: cmdCommand,
		Doc:     Doc{Summary: "Describes all commands.", Since: "2.8.13", Group: "server", Complexity: "O(N), N being the number of commands"},
		Sub: []*Spec{
			{
				Name: "command|count", Arity: 2, Flags: Loading | Stale, Categories: CatConnection,
				Handler: cmdCommandCount,
				Doc:     Doc{Summary: "Returns the number of commands.", Since: "2.8.13", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "command|docs", Arity: -2, Flags: Loading | Stale, Categories: CatConnection,
				Tips:    []string{"nondeterministic_output_order"},
				Handler: cmdCommandDocs,
				Doc: Doc{Summary: "Returns the documentation of commands.", Since: "7.0.0", Group: "server", Complexity: "O(N), N being the number of commands asked for",
					Args: []Arg{
						{Name: "command-name", Type: "string", Optional: true, Multiple: true},
					},
				},
			},
			{
				Name: "command|getkeys", Arity: -4, Flags: Loading | Stale, Categories: CatConnection,
				Handler: cmdCommandGetKeys,
				Doc:     Doc{Summary: "Returns the keys among the arguments of a command.", Since: "2.8.13", Group: "server", Complexity: "O(N), N being the number of arguments"},
			},
			{
				Name: "command|getkeysandflags", Arity: -4, Flags: Loading | Stale, Categories: CatConnection,
				Handler: cmdCommandGetKeysAndFlags,
				Doc:     Doc{Summary: "Returns the keys among the arguments of a command and what it does with them.", Since: "7.0.0", Group: "server", Complexity: "O(N), N being the number of arguments"},
			},
			{
				Name: "command|help", Arity: 2, Flags: Loading | Stale, Categories: CatConnection,
				Handler: cmdCommandHelp,
				Doc:     Doc{Summary: "Lists the subcommands.", Since: "5.0.0", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "command|info", Arity: -2, Flags: Loading | Stale, Categories: CatConnection,
				Tips:    []string{"nondeterministic_output_order"},
				Handler: cmdCommandInfo,
				Doc: Doc{Summary: "Describes the named commands, or all.", Since: "2.8.13", Group: "server", Complexity: "O(N), N being the number of commands asked for",
					Args: []Arg{
						{Name: "command-name", Type: "string", Optional: true, Multiple: true},
					},
				},
			},
			{
				Name: "command|list", Arity: -2, Flags: Loading | Stale, Categories: CatConnection,
				Tips:    []string{"nondeterministic_output_order"},
				Handler: cmdCommandList,
				Doc: Doc{Summary: "Returns the names of all commands, or a choice of them.", Since: "7.0.0", Group: "server", Complexity: "O(N), N being the number of commands",
					Args: []Arg{
						{Name: "filterby", Type: "oneof", Token: "FILTERBY", Optional: true, Args: []Arg{
							{Name: "module-name", Type: "string", Token: "MODULE"},
							{Name: "category", Type: "string", Token: "ACLCAT"},
							{Name: "pattern", Type: "pattern", Token: "PATTERN"},
						}},
					},
				},
			},
		},
	},
	{
		Name: "config", Arity: -2,
		Doc: Doc{Summary: "Container of the configuration commands.", Since: "2.0.0", Group: "server", Complexity: "Depends on subcommand."},
		Sub: []*Spec{
			{
				Name: "config|get", Arity: -3, Flags: Admin | NoScript | Loading | Stale,
				Handler: cmdConfigGet,
				Doc: Doc{Summary: "Returns directives and their values.", Since: "2.0.0", Group: "server", Complexity: "O(N), N being the number of directives asked for",
					Args: []Arg{
						{Name: "parameter", Type: "block", Multiple: true, Args: []Arg{
							{Name: "parameter", Type: "string"},
						}},
					},
				},
			},
			{
				Name: "config|help", Arity: 2, Flags: Loading | Stale,
				Handler: cmdConfigHelp,
				Doc:     Doc{Summary: "Lists the subcommands.", Since: "5.0.0", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "config|resetstat", Arity: 2, Flags: Admin | NoScript | Loading | Stale,
				Handler: cmdConfigResetStat,
				Doc:     Doc{Summary: "Sets the counters of INFO to zero.", Since: "2.0.0", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "config|rewrite", Arity: 2, Flags: Admin | NoScript | Loading | Stale,
				Handler: cmdConfigRewrite,
				Doc:     Doc{Summary: "Writes the present configuration into the configuration file.", Since: "2.8.0", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "config|set", Arity: -4, Flags: Admin | NoScript | Loading | Stale,
				Tips:    []string{"request_policy:all_nodes", "response_policy:all_succeeded"},
				Handler: cmdConfigSet,
				Doc: Doc{Summary: "Changes directives while the server runs.", Since: "2.0.0", Group: "server", Complexity: "O(N), N being the number of directives given",
					Args: []Arg{
						{Name: "parameter_value", Type: "block", Multiple: true, Args: []Arg{
							{Name: "parameter", Type: "string"},
							{Name: "value", Type: "string"},
						}},
					},
				},
			},
		},
	},
	{
		Name: "dbsize", Arity: 1, Flags: ReadOnly | Fast, Categories: CatKeyspace,
		Tips:    []string{"request_policy:all_shards", "response_policy:agg_sum"},
		Handler: cmdDBSize,
		Doc:     Doc{Summary: "Returns the number of keys in the database.", Since: "1.0.0", Group: "server", Complexity: "O(1)"},
	},
	{
		Name: "debug", Arity: -2, Flags: Admin | NoScript | Loading | Stale | Protected,
		Lock:    LockSelf,
		Handler: cmdDebug,
		Doc:     Doc{Summary: "Container of the debugging commands.", Since: "1.0.0", Group: "server", Complexity: "Depends on subcommand.", SysCmd: true},
	},
	{
		Name: "flushall", Arity: -1, Flags: Write, Categories: CatKeyspace | CatDangerous,
		Tips:   []string{"request_policy:all_shards", "response_policy:all_succeeded"},
		Lock:   LockAll,
		Before: beforeFlushAll, After: afterFlushAll,
		Handler: cmdFlushAll,
		Doc: Doc{Summary: "Removes all keys of all databases.", Since: "1.0.0", Group: "server", Complexity: "O(N), N being the number of keys in all databases",
			Args: []Arg{
				{Name: "async", Type: "oneof", Optional: true, Args: []Arg{
					{Name: "async", Type: "pure-token", Token: "ASYNC", Since: "4.0.0"},
					{Name: "sync", Type: "pure-token", Token: "SYNC", Since: "6.2.0"},
				}},
			},
		},
	},
	{
		Name: "flushdb", Arity: -1, Flags: Write, Categories: CatKeyspace | CatDangerous,
		Tips:    []string{"request_policy:all_shards", "response_policy:all_succeeded"},
		Lock:    LockAll,
		Handler: cmdFlushDB,
		Doc: Doc{Summary: "Removes all keys of the database.", Since: "1.0.0", Group: "server", Complexity: "O(N), N being the number of keys in the database",
			Args: []Arg{
				{Name: "async", Type: "oneof", Optional: true, Args: []Arg{
					{Name: "async", Type: "pure-token", Token: "ASYNC", Since: "4.0.0"},
					{Name: "sync", Type: "pure-token", Token: "SYNC", Since: "6.2.0"},
				}},
			},
		},
	},
	{
		Name: "function", Arity: -2,
		Doc: Doc{Summary: "Container of the function commands.", Since: "7.0.0", Group: "scripting", Complexity: "Depends on subcommand."},
		Sub: []*Spec{
			{
				Name: "function|delete", Arity: 3, Flags: Write | NoScript, Categories: CatScripting,
				Tips:    []string{"request_policy:all_shards", "response_policy:all_succeeded"},
				Handler: cmdFunctionDelete,
				Doc: Doc{Summary: "Deletes a library of functions.", Since: "7.0.0", Group: "scripting", Complexity: "O(1)",
					Args: []Arg{
						{Name: "library-name", Type: "string"},
					},
				},
			},
			{
				Name: "function|flush", Arity: -2, Flags: Write | NoScript, Categories: CatScripting,
				Tips:    []string{"request_policy:all_shards", "response_policy:all_succeeded"},
				Handler: cmdFunctionFlush,
				Doc: Doc{Summary: "Deletes all libraries.", Since: "7.0.0", Group: "scripting", Complexity: "O(N), N being the number of functions",
					Args: []Arg{
						{Name: "async", Type: "oneof", Optional: true, Args: []Arg{
							{Name: "async", Type: "pure-token", Token: "ASYNC"},
							{Name: "sync", Type: "pure-token", Token: "SYNC"},
						}},
					},
				},
			},
			{
				Name: "function|help", Arity: 2, Flags: Loading | Stale, Categories: CatScripting,
				Handler: cmdFunctionHelp,
				Doc:     Doc{Summary: "Lists the subcommands.", Since: "7.0.0", Group: "scripting", Complexity: "O(1)"},
			},
			{
				Name: "function|kill", Arity: 2, Flags: NoScript | AllowBusy, Categories: CatScripting,
				Tips:    []string{"request_policy:all_shards", "response_policy:one_succeeded"},
				Handler: cmdFunctionKill,
				Doc:     Doc{Summary: "Stops the function that is running.", Since: "7.0.0", Group: "scripting", Complexity: "O(1)"},
			},
			{
				Name: "function|list", Arity: -2, Flags: NoScript, Categories: CatScripting,
				Tips:    []string{"nondeterministic_output_order"},
				Handler: cmdFunctionList,
				Doc: Doc{Summary: "Lists the libraries and their functions.", Since: "7.0.0", Group: "scripting", Complexity: "O(N), N being the number of functions",
					Args: []Arg{
						{Name: "library-name-pattern", Type: "string", Token: "LIBRARYNAME", Optional: true},
						{Name: "withcode", Type: "pure-token", Token: "WITHCODE", Optional: true},
					},
				},
			},
			{
				Name: "function|stats", Arity: 2, Flags: NoScript | AllowBusy, Categories: CatScripting,
				Tips:    []string{"nondeterministic_output", "request_policy:all_shards", "response_policy:special"},
				Handler: cmdFunctionStats,
				Doc:     Doc{Summary: "Tells which function runs and which engines exist.", Since: "7.0.0", Group: "scripting", Complexity: "O(1)"},
			},
		},
	},
	{
		Name: "info", Arity: -1, Flags: Loading | Stale, Categories: CatDangerous,
		Tips:    []string{"nondeterministic_output", "request_policy:all_shards", "response_policy:special"},
		Handler: cmdInfo,
		Doc: Doc{Summary: "Returns figures about the server, by section.", Since: "1.0.0", Group: "server", Complexity: "O(1)",
			Args: []Arg{
				{Name: "section", Type: "string", Optional: true, Multiple: true},
			},
		},
	},
	{
		Name: "memory", Arity: -2,
		Doc: Doc{Summary: "Container of the commands about memory.", Since: "4.0.0", Group: "server", Complexity: "Depends on subcommand."},
		Sub: []*Spec{
			{
				Name: "memory|doctor", Arity: 2,
				Tips:    []string{"nondeterministic_output", "request_policy:all_shards", "response_policy:special"},
				Handler: cmdMemoryDoctor,
				Doc:     Doc{Summary: "Reports problems with the memory.", Since: "4.0.0", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "memory|help", Arity: 2, Flags: Loading | Stale,
				Handler: cmdMemoryHelp,
				Doc:     Doc{Summary: "Lists the subcommands.", Since: "4.0.0", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "memory|malloc-stats", Arity: 2,
				Tips:    []string{"nondeterministic_output", "request_policy:all_shards", "response_policy:special"},
				Handler: cmdMemoryMallocStats,
				Doc:     Doc{Summary: "Returns the figures of the allocator.", Since: "4.0.0", Group: "server", Complexity: "Depends on how much memory is allocated, could be slow"},
			},
			{
				Name: "memory|purge", Arity: 2,
				Tips:    []string{"request_policy:all_shards", "response_policy:all_succeeded"},
				Handler: cmdMemoryPurge,
				Doc:     Doc{Summary: "Gives unused memory back to the system.", Since: "4.0.0", Group: "server", Complexity: "Depends on how much memory is allocated, could be slow"},
			},
			{
				Name: "memory|stats", Arity: 2,
				Tips:    []string{"nondeterministic_output", "request_policy:all_shards", "response_policy:special"},
				Handler: cmdMemoryStats,
				Doc:     Doc{Summary: "Returns the use of memory by purpose.", Since: "4.0.0", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "memory|usage", Arity: -3, Flags: ReadOnly,
				First: 2, Last: 2, Step: 1,
				KeySpecs: []KeySpec{keyAt(2, KeyRO)},
				Handler:  cmdMemoryUsage,
				Doc: Doc{Summary: "Returns the memory that a key takes, in bytes.", Since: "4.0.0", Group: "server", Complexity: "O(N), N being the number of samples",
					Args: []Arg{
						{Name: "key", Type: "key", KeySpec: 1},
						{Name: "count", Type: "integer", Token: "SAMPLES", Optional: true},
					},
				},
			},
		},
	},
	{
		Name: "shutdown", Arity: -1, Flags: Admin | NoScript | Loading | Stale | NoMulti | AllowBusy,
		Handler: cmdShutdown,
		Doc: Doc{Summary: "Saves the data set, if configured or asked to, and ends the server.", Since: "1.0.0", Group: "server", Complexity: "O(N) when saving, N being the number of keys in all databases, otherwise O(1)",
			Args: []Arg{
				{Name: "nosave_save", Type: "oneof", Optional: true, Args: []Arg{
					{Name: "nosave", Type: "pure-token", Token: "NOSAVE"},
					{Name: "save", Type: "pure-token", Token: "SAVE"},
				}},
				{Name: "now", Type: "pure-token", Token: "NOW", Since: "7.0.0", Optional: true},
				{Name: "force", Type: "pure-token", Token: "FORCE", Since: "7.0.0", Optional: true},
				{Name: "abort", Type: "pure-token", Token: "ABORT", Since: "7.0.0", Optional: true},
			},
		},
	},
	{
		Name: "swapdb", Arity: 3, Flags: Write | Fast, Categories: CatKeyspace | CatDangerous,
		Lock:    LockAll,
		Handler: cmdSwapDB,
		Doc: Doc{Summary: "Exchanges two databases.", Since: "4.0.0", Group: "server", Complexity: "O(N), N being the number of clients that watch or wait for keys of them",
			Args: []Arg{
				{Name: "index1", Type: "integer"},
				{Name: "index2", Type: "integer"},
			},
		},
	},
	{
		Name: "time", Arity: 1, Flags: Loading | Stale | Fast,
		Tips:    []string{"nondeterministic_output"},
		Handler: cmdTime,
		Doc:     Doc{Summary: "Returns the server's time.", Since: "2.6.0", Group: "server", Complexity: "O(1)"},
	},
}
