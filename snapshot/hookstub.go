package snapshot

type hookQueue struct{}

func newHookQueue(any) *hookQueue { return &hookQueue{} }
func (*hookQueue) close()         {}
func (*hookQueue) wait()          {}
func (m *Manager) hookEnded()     {}
func (m *Manager) runHook(r *running, s *Settings, res *Result, err error, cancelled bool, kept string) {
}
