;; Wants the environment variables of the host's process.
(component
  (import "wasi:cli/environment@0.2.12" (instance
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))
  ))
)
