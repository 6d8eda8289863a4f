package workflow

import "testing"

// rclone's errors of S3 have empty lines in their middle (aws-sdk-go's, seen with 1.60.1).
func TestExitErrorHasNoEmptyLines(t *testing.T) {
	e := &ExitError{Argv: []string{"rclone", "copyto"}, Code: 1, Stderr: "Failed to copy: SignatureDoesNotMatch:\n\n \tstatus code: 403\n\n"}
	if got, want := e.Error(), "rclone: exit 1: Failed to copy: SignatureDoesNotMatch:\n \tstatus code: 403"; got != want {
		t.Errorf("%q", got)
	}
	e.Stderr = " \n\n"
	if got := e.Error(); got != "rclone: exit 1" {
		t.Errorf("%q", got)
	}
}
