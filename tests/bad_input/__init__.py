"""Wrong arguments for every public function: what the functions are, valid calls of them, values to put in, and the verdict."""
