"""The warehouse as a static site: pages that open from disk and can be published as they are."""
