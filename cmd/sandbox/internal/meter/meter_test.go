package meter

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestMain has the test binary stand for a program that takes memory and writes a file.
func TestMain(m *testing.M) {
	file := os.Getenv("METER_TEST_FILE")
	if file == "" {
		os.Exit(m.Run())
	}
	p := make([]byte, 96<<20)
	for i := range p {
		p[i] = byte(i)
	}
	if err := os.WriteFile(file, p[:8<<20], 0o600); err != nil {
		os.Exit(1)
	}
	for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
		p[0]++ // takes processor time
	}
	os.Remove(file)
}

func TestFigures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := Start(dir)
	// The shell stays as the parent: the memory and time are its child's.
	c := exec.Command("/bin/sh", "-c", `"$0"; exit $?`, os.Args[0])
	c.Env = []string{"METER_TEST_FILE=" + filepath.Join(dir, "file")}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	m.Own(c)
	err := c.Wait()
	m.Ended(c)
	f := m.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if f.Wall < 300*time.Millisecond || f.Processor < 100*time.Millisecond {
		t.Errorf("wall %v, processor %v", f.Wall, f.Processor)
	}
	if f.Memory < 96<<20 || f.Memory > 400<<20 {
		t.Errorf("memory %d", f.Memory)
	}
	if f.OwnMemory == 0 || f.OwnMemory > 16<<20 {
		t.Errorf("own memory %d: that of the shell", f.OwnMemory)
	}
	if f.Space < 8<<20 || f.Space > 9<<20 {
		t.Errorf("space %d", f.Space)
	}
}

func TestLength(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a", "b/c"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if sum, files, err := Length(dir); sum != 10 || files != 2 || err != nil {
		t.Error(sum, files, err)
	}
}
