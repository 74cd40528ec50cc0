def write_page(records, docs):
    pass
