package command

// saveCommands are the rows of the commands about dumps. SNAPSHOT is kvd's own.
var saveCommands = []*Spec{
	{
		Name: "bgsave", Arity: -1, Flags: Admin | NoScript | NoAsyncLoading,
		Handler: cmdBgsave,
		Doc: Doc{Summary: "Saves the data set in the background, by fork, by thread or by copy.", Since: "1.0.0", Group: "server", Complexity: "O(1)",
			Args: []Arg{
				{Name: "method", Type: "oneof", Optional: true, Args: []Arg{
					{Name: "fork", Type: "pure-token", Token: "FORK"},
					{Name: "thread", Type: "pure-token", Token: "THREAD"},
					{Name: "forkless", Type: "pure-token", Token: "FORKLESS"},
					{Name: "copy", Type: "pure-token", Token: "COPY"},
					{Name: "auto", Type: "pure-token", Token: "AUTO"},
					{Name: "cancel", Type: "pure-token", Token: "CANCEL"},
				}},
				{Name: "schedule", Type: "pure-token", Token: "SCHEDULE", Since: "3.2.2", Optional: true},
				{Name: "snapshot", Type: "string", Token: "TO", Optional: true},
				{Name: "index", Type: "integer", Token: "DB", Optional: true},
			},
		},
	},
	{
		Name: "lastsave", Arity: 1, Flags: Loading | Stale | Fast, Categories: CatAdmin | CatDangerous,
		Tips:    []string{"nondeterministic_output"},
		Handler: cmdLastSave,
		Doc:     Doc{Summary: "Returns the Unix time of the last successful save.", Since: "1.0.0", Group: "server", Complexity: "O(1)"},
	},
	{
		Name: "save", Arity: 1, Flags: Admin | NoScript | NoAsyncLoading | NoMulti,
		Lock:    LockSelf,
		Handler: cmdSave,
		Doc:     Doc{Summary: "Saves the data set; all clients wait for it.", Since: "1.0.0", Group: "server", Complexity: "O(N), N being the number of keys in all databases"},
	},
	{
		Name: "snapshot", Arity: -2,
		Doc: Doc{Summary: "Container of the commands about dumps by name.", Since: "7.0.0", Group: "server", Complexity: "Depends on subcommand."},
		Sub: []*Spec{
			{
				Name: "snapshot|help", Arity: 2, Flags: Loading | Stale,
				Handler: cmdSnapshotHelp,
				Doc:     Doc{Summary: "Lists the subcommands.", Since: "7.0.0", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "snapshot|list", Arity: 2, Flags: Admin | NoScript | Loading | Stale,
				Tips:    []string{"nondeterministic_output"},
				Handler: cmdSnapshotList,
				Doc:     Doc{Summary: "Lists the dumps in the directory, the newest first.", Since: "7.0.0", Group: "server", Complexity: "O(N), N being the number of dumps"},
			},
			{
				// MayReplicate: CLIENT PAUSE WRITE holds it back. It is not a Write, so
				// that it is allowed while saves fail: it may be the way out.
				Name: "snapshot|load", Arity: -3, Flags: Admin | NoScript | NoAsyncLoading | MayReplicate, Categories: CatKeyspace | CatWrite | CatDangerous,
				Handler: cmdSnapshotLoad,
				Doc: Doc{Summary: "Replaces the data, or one database, by those of a dump, all or nothing.", Since: "7.0.0", Group: "server", Complexity: "O(N), N being the number of keys in the dump",
					Args: []Arg{
						{Name: "snapshot", Type: "string"},
						{Name: "database", Type: "block", Optional: true, Args: []Arg{
							{Name: "index", Type: "integer", Token: "DB"},
							{Name: "destination", Type: "integer", Token: "INTO", Optional: true},
						}},
					},
				},
			},
			{
				Name: "snapshot|status", Arity: 2, Flags: Admin | NoScript | Loading | Stale,
				Tips:    []string{"nondeterministic_output"},
				Handler: cmdSnapshotStatus,
				Doc:     Doc{Summary: "Returns the figures of the save in progress and of the last one.", Since: "7.0.0", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "snapshot|verify", Arity: 3, Flags: Admin | NoScript | Loading | Stale,
				Handler: cmdSnapshotVerify,
				Doc: Doc{Summary: "Reads a dump to its end, all values included, and tells what is in it.", Since: "7.0.0", Group: "server", Complexity: "O(N), N being the size of the dump",
					Args: []Arg{
						{Name: "snapshot", Type: "string"},
					},
				},
			},
		},
	},
}
