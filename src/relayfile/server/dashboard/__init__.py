"""Server-rendered pages: templates and one style sheet beside them, no build step, nothing from elsewhere."""
