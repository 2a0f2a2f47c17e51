package project_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/project"
)

// certificate runs examples/certificate.py on the log.
func (s *site) certificate() (text string, code int) {
	var log []byte
	for r, err := range s.engine.Records(1, s.engine.View().Index()) {
		require.NoError(s, err)
		log = append(r.AppendJSON(log), '\n')
	}
	const script = "../examples/certificate.py"
	require.FileExists(s, script, "and go test runs again when it changes")
	cmd := exec.Command("python3", script, "alpha")
	cmd.Stdin = bytes.NewReader(log)
	out, _ := cmd.CombinedOutput() // Its code says how it ended.
	return string(out), cmd.ProcessState.ExitCode()
}

// TestCertificateFollows: the certificate knows by the log alone when a seat is lost, by each cause, and who
// was elected since.
func TestCertificateFollows(t *testing.T) {
	if exec.Command("python3", "-c", "import cryptography").Run() != nil {
		t.Skip("python3-cryptography is not installed")
	}
	for _, c := range causes {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.inPhase(project.Ready)
			c.goes(s, 1)
			out, code := s.certificate()
			require.Equal(t, 1, code, out)
			require.Contains(t, out, "project alpha has no council now")
			require.Nil(t, s.takes("n2", "alpha", step{"council.vote", vote("n2", "n2")}))
			require.Nil(t, s.takes("n3", "alpha", step{"council.vote", vote("n3", "n2")}))
			require.Nil(t, s.takes("", "alpha", step{"council.elect", ""}))
			out, code = s.certificate()
			require.Zero(t, code, out)
			require.Contains(t, out, "lead: n2\n")
			require.Equal(t, 2, strings.Count(out, "signed with the key of"), out)
		})
	}
	s := newSite(t)
	s.inPhase(project.Ready)
	s.does("n4", "network.delete", `{"network":"build"}`)
	out, code := s.certificate()
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "project alpha has no council now")

	s = newSite(t)
	s.inPhase(project.Ready)
	s.does("n4", "network.create", `{"network":"test","name":"Test","owner":"n4","join":"open"}`)
	s.does("n1", "network.join", `{"network":"test","node":"n1"}`)
	s.does("n1", "network.leave", `{"network":"test","node":"n1"}`)
	require.Nil(t, s.takes("n4", "alpha", step{"project.archive", ""}))
	s.does("n1", "fleet.deregister", `{"node":"n1"}`)
	out, code = s.certificate()
	require.Zero(t, code, out)
	require.Contains(t, out, "lead: n1\n", "n1 left another network; and the project was closed before n1 went")
	require.Contains(t, out, "  2 of 2 votes\n")
}
