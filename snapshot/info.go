package snapshot

import "time"

// Info is the state of a Manager, for INFO and LASTSAVE. Times are Unix seconds;
// bytes, seconds and microseconds as the names say.
type Info struct {
	Loading               bool
	LoadingStart          int64
	LoadingTotalBytes     int64
	LoadingRDBUsedMem     int64 // of the server that wrote the file, in bytes; 0 if the file does not tell
	LoadingLoadedBytes    int64
	LoadingETASeconds     int64
	AsyncLoading          bool  // Restore is at work while clients are served
	ChangesSinceLastSave  int64 // since the cut of the last successful save
	BgsaveInProgress      bool
	LastSaveUnix          int64
	LastBgsaveOK          bool
	LastBgsaveSeconds     int64 // -1 before the first
	CurrentBgsaveSeconds  int64 // -1 if none runs
	Saves                 int64 // begun since the start
	LastCOWBytes          int64
	CurrentCOWBytes       int64
	CurrentCOWPeakBytes   int64
	CurrentCOWAgeSeconds  int64 // since CurrentCOWBytes was looked up
	CurrentSaveKeysTotal  int64
	CurrentSaveKeysDone   int64
	LastLoadKeysExpired   int64
	LastLoadKeysLoaded    int64
	CurrentType, LastType string // "fork", "thread", "copy", "none"
	LastPauseUsec         int64  // locks taken to locks released
	LatestForkUsec        int64  // the clone alone
	TotalForks            int64
	LastExtraMemoryPeak   int64
	LastError             string // of the last save, "" if it succeeded
	Scheduled             bool
	ChildPID              int // 0 if there is no child

	// The save in progress.
	CurrentReason     string  // who asked for it; "" if none runs
	CurrentPhase      string  // "cut", "writing", "syncing", "verifying"; "" if none runs
	CurrentName       string  // of the snapshot; "" for the dump, or if none runs
	CurrentShare      float64 // written of what there is to write, by bytes of the store, 0 to 1
	CurrentETASeconds int64   // -1 if unknown, or none runs
	CurrentExtraBytes int64   // memory that it costs now
	CurrentLimitBytes int64   // what that may come to; 0: not limited, or none runs
	CurrentThrottled  float64 // share of the time that writers are made to wait, 0 to 1

	// The last background save, successful or not.
	LastReason        string
	LastAutoReason    string // why AUTO chose its engine, at the last save that it chose for
	LastVerified      string // "yes", "full", "no", or "failed"; "" before the first save
	LastKeys          int64
	LastBytes         int64   // of the file
	LastSeconds       float64 // the verification included
	LastVerifySeconds float64
	LastCOWFaults     int64  // page faults of the process while the child lived; fork
	LastLimitReached  bool   // given up because of save-memory-limit
	LastHook          string // "ok", "none", or what went wrong with the save-hook
}

// Info returns the present state.
func (m *Manager) Info() Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := &m.stat
	in := Info{
		ChangesSinceLastSave: m.o.Store.Changes() - m.clean.Load(),
		LastSaveUnix:         st.lastSave.Unix(),
		LastBgsaveOK:         !st.failed,
		LastBgsaveSeconds:    st.seconds,
		CurrentBgsaveSeconds: -1,
		Saves:                st.saves,
		LastCOWBytes:         st.cow,
		LastLoadKeysExpired:  st.keysExpired,
		LastLoadKeysLoaded:   st.keysLoaded,
		CurrentType:          Engine(0).String(),
		LastType:             st.last.String(),
		LastPauseUsec:        usec(st.pause),
		LatestForkUsec:       usec(st.clone),
		TotalForks:           st.forks,
		LastExtraMemoryPeak:  st.extra,
		LastError:            st.lastError,
		Scheduled:            len(m.scheduled) > 0,
		CurrentETASeconds:    -1,
		LastReason:           st.reason,
		LastAutoReason:       st.autoReason,
		LastVerified:         st.verified,
		LastKeys:             st.result.Keys,
		LastBytes:            st.result.Bytes,
		LastSeconds:          st.result.Took.Seconds(),
		LastVerifySeconds:    st.result.VerifyTook.Seconds(),
		LastCOWFaults:        st.result.Faults,
		LastLimitReached:     st.limit,
		LastHook:             st.hook,
	}
	now := m.o.now()
	if r := m.run; r != nil && r.background {
		m.current(&in, r, now)
	} else if r != nil && r.restoring {
		in.AsyncLoading = true
	}
	m.load.info(&in, now)
	return in
}

// current fills in what concerns the save in progress.
func (m *Manager) current(in *Info, r *running, now time.Time) {
	in.BgsaveInProgress = true
	in.CurrentType = r.engine.String()
	in.CurrentBgsaveSeconds = int64(now.Sub(r.begun).Seconds())
	in.CurrentReason, in.CurrentName, in.CurrentPhase = r.Reason, r.Name, "cut"
	s := r.saving
	if s == nil {
		return
	}
	in.CurrentSaveKeysDone, in.CurrentSaveKeysTotal = s.progress()
	in.CurrentExtraBytes, _, in.CurrentCOWBytes, in.CurrentCOWPeakBytes = s.extra()
	in.CurrentPhase, in.CurrentShare, in.CurrentETASeconds = s.stage(), s.share(), s.eta(now.Sub(r.begun))
	in.CurrentLimitBytes, in.CurrentThrottled = s.o.MemoryLimit, float64(s.throttled.Load())/1000
	if s.job != nil {
		in.ChildPID = s.job.Pid()
		if at := s.sampledAt.Load(); at != 0 {
			in.CurrentCOWAgeSeconds = int64(time.Since(time.Unix(0, at)).Seconds())
		}
	}
}

// usec returns whole microseconds, rounded up: what took time is not 0.
func usec(d time.Duration) int64 {
	return int64((d + time.Microsecond - 1) / time.Microsecond)
}
