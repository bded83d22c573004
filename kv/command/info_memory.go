package command

import (
	"os"
	"strconv"
	"strings"

	"kvd/kv"
)

// memoryFigures are those of INFO memory and MEMORY STATS, in bytes.
type memoryFigures struct {
	kv.Memory
	startup int64 // used when the engine was made
	rss     int64
	clients int64 // buffers of all clients
}

func (e *Engine) memory() memoryFigures {
	m := memoryFigures{Memory: e.Store.Memory(), startup: e.state.startupBytes, rss: residentBytes()}
	e.Clients.Each(func(c *Client) bool {
		m.clients += c.TotalMem.Load()
		return true
	})
	m.Peak = max(m.Peak, m.Used)
	return m
}

// dataset is what keys and values take, overhead all else that is used.
func (m *memoryFigures) dataset() int64  { return m.Entries }
func (m *memoryFigures) overhead() int64 { return m.Used - m.Entries }
func (m *memoryFigures) active() int64   { return max(m.Resident+m.GoHeap, m.Used) }

func (m *memoryFigures) datasetPercent() float64 {
	return min(ratio(m.dataset(), max(m.Used-m.startup, m.dataset()))*100, 100)
}

type purpose struct {
	name  string
	bytes int64
}

func (m *memoryFigures) purposes() []purpose {
	return []purpose{
		{"entries", m.Entries}, {"index", m.Index}, {"deferred", m.Deferred}, {"copy", m.Copy},
		{"staged", m.Staged}, {"freeing", m.Freeing}, {"reserve", m.Reserve}, {"overhead", m.Overhead}, {"go-heap", m.GoHeap}, {"resident", m.Resident}, {"ahead", m.Ahead}, {"peak", m.Peak},
	}
}

// residentBytes returns the process' resident memory, 0 if /proc is not there.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// systemBytes returns the machine's memory, 0 if /proc is not there.
func systemBytes() int64 {
	f := strings.Fields(firstLine("/proc/meminfo"))
	if len(f) < 2 {
		return 0
	}
	kib, _ := strconv.ParseInt(f[1], 10, 64)
	return kib << 10
}

func infoMemory(x *Ctx, w *infoWriter) {
	m := x.memory()
	percent := func(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) + "%" }
	w.human("used_memory", m.Used)
	w.human("used_memory_rss", m.rss)
	w.human("used_memory_peak", m.Peak)
	w.str("used_memory_peak_perc", percent(ratio(m.Used, m.Peak)*100))
	w.num("used_memory_overhead", m.overhead())
	w.num("used_memory_startup", m.startup)
	w.num("used_memory_dataset", m.dataset())
	w.str("used_memory_dataset_perc", percent(m.datasetPercent()))
	w.num("allocator_allocated", m.Used)
	w.num("allocator_active", m.active())
	w.num("allocator_resident", m.rss)
	w.human("total_system_memory", systemBytes())
	w.zero("used_memory_lua", "used_memory_vm_eval")
	w.str("used_memory_lua_human", bytesToHuman(0))
	w.zero("used_memory_scripts_eval", "number_of_cached_scripts", "number_of_functions", "number_of_libraries",
		"used_memory_vm_functions")
	w.human("used_memory_vm_total", 0)
	w.zero("used_memory_functions")
	w.human("used_memory_scripts", 0)
	w.human("maxmemory", x.Config.Int("maxmemory"))
	w.str("maxmemory_policy", x.Config.String("maxmemory-policy"))
	w.fix2("allocator_frag_ratio", ratio(m.active(), m.Used))
	w.num("allocator_frag_bytes", m.active()-m.Used)
	w.fix2("allocator_rss_ratio", ratio(m.rss, m.active()))
	w.num("allocator_rss_bytes", m.rss-m.active())
	w.fix2("rss_overhead_ratio", 1)
	w.num("rss_overhead_bytes", 0)
	w.fix2("mem_fragmentation_ratio", ratio(m.rss, m.Used))
	w.num("mem_fragmentation_bytes", m.rss-m.Used)
	w.num("mem_not_counted_for_evict", m.Deferred+m.Copy+m.Staged+m.Reserve) // what saves and loads hold for a while
	w.zero("mem_replication_backlog", "mem_total_replication_buffers", "mem_clients_slaves")
	w.num("mem_clients_normal", m.clients)
	w.zero("mem_cluster_links", "mem_aof_buffer")
	w.str("mem_allocator", "kvd-arena")
	w.zero("active_defrag_running")
	pending, freed := x.Store.LazyFree()
	w.num("lazyfree_pending_objects", pending)
	w.num("lazyfreed_objects", freed)
	w.num("mem_arena_entries", m.Entries)
	w.num("mem_arena_index", m.Index)
	w.num("mem_arena_deferred", m.Deferred)
	w.num("mem_arena_freeing", m.Freeing)
	w.num("mem_arena_copy", m.Copy)
	w.num("mem_arena_staged", m.Staged)
	w.num("mem_arena_reserve", m.Reserve)
	w.num("mem_arena_overhead", m.Overhead)
	w.num("mem_arena_resident", m.Resident)
	w.num("mem_arena_ahead", m.Ahead)
	w.flag("mem_huge_pages", m.Huge)
	w.fix2("mem_huge_share", m.HugeShare)
	w.num("fork_recollapse_pending_bytes", m.RecollapsePending)
	w.num("fork_recollapse_bytes", m.Recollapsed)
	w.num("fork_recollapse_max_usec", m.RecollapseLongest.Microseconds())
	w.num("mem_go_heap", m.GoHeap)
}
