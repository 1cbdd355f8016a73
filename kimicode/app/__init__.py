"""The composition root: puts the parts together and runs them. Only this package names concrete adapters.

fix()     a task to a tested commit          app/fix.py
resume()  goes on with a stopped session     app/fix.py
demo()    fix() on the bundled repository    app/demo.py
"""
