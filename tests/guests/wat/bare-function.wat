;; Wants a function that belongs to no interface.
(component
  (import "escape" (func (param "command" string) (result u32)))
)
