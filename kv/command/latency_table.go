package command

// latencyCommands are the rows of LATENCY.
var latencyCommands = []*Spec{
	{
		Name: "latency", Arity: -2,
		Doc: Doc{Summary: "Container of the commands about latency.", Since: "2.8.13", Group: "server", Complexity: "Depends on subcommand."},
		Sub: []*Spec{
			{
				Name: "latency|doctor", Arity: 2, Flags: Admin | NoScript | Loading | Stale, Tips: latencyTips,
				Handler: cmdLatencyDoctor,
				Doc:     Doc{Summary: "Tells what the recorded events mean.", Since: "2.8.13", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "latency|graph", Arity: 3, Flags: Admin | NoScript | Loading | Stale, Tips: latencyTips,
				Handler: cmdLatencyGraph,
				Doc: Doc{Summary: "Returns a chart of an event's samples.", Since: "2.8.13", Group: "server", Complexity: "O(1)",
					Args: []Arg{{Name: "event", Type: "string"}}},
			},
			{
				Name: "latency|help", Arity: 2, Flags: Loading | Stale,
				Handler: cmdLatencyHelp,
				Doc:     Doc{Summary: "Lists the subcommands.", Since: "2.8.13", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "latency|histogram", Arity: -2, Flags: Admin | NoScript | Loading | Stale, Tips: latencyTips,
				Handler: cmdLatencyHistogram,
				Doc: Doc{Summary: "Returns how many calls of each command took how long.", Since: "7.0.0", Group: "server",
					Complexity: "O(N), N being the number of commands with figures",
					Args:       []Arg{{Name: "command", Type: "string", Optional: true, Multiple: true}}},
			},
			{
				Name: "latency|history", Arity: 3, Flags: Admin | NoScript | Loading | Stale, Tips: latencyTips,
				Handler: cmdLatencyHistory,
				Doc: Doc{Summary: "Returns the samples of an event.", Since: "2.8.13", Group: "server", Complexity: "O(1)",
					Args: []Arg{{Name: "event", Type: "string"}}},
			},
			{
				Name: "latency|latest", Arity: 2, Flags: Admin | NoScript | Loading | Stale, Tips: latencyTips,
				Handler: cmdLatencyLatest,
				Doc:     Doc{Summary: "Returns the last sample of each event.", Since: "2.8.13", Group: "server", Complexity: "O(1)"},
			},
			{
				Name: "latency|reset", Arity: -2, Flags: Admin | NoScript | Loading | Stale,
				Tips:    []string{"request_policy:all_nodes", "response_policy:all_succeeded"},
				Handler: cmdLatencyReset,
				Doc: Doc{Summary: "Forgets the samples of some events, or of all.", Since: "2.8.13", Group: "server", Complexity: "O(1)",
					Args: []Arg{{Name: "event", Type: "string", Optional: true, Multiple: true}}},
			},
		},
	},
}

var latencyTips = []string{"nondeterministic_output", "request_policy:all_nodes", "response_policy:special"}
